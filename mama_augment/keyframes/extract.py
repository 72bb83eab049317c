"""Key frames of one clip, from path and span to JPEGs: what a decoding worker does."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from mama_augment.decode.config import Span
from mama_augment.decode.decord_reader import DecordReader
from mama_augment.decode.errors import ClipError
from mama_augment.decode.local_file import local_file
from mama_augment.decode.picture import Image, Scaler, jpeg_bytes
from mama_augment.decode.reader import DEFAULT_FPS, ClipReader
from mama_augment.decode.source import open_video
from mama_augment.keyframes import choose as keyframes
from mama_augment.keyframes.config import ClipConfig, ClipFrames
from mama_augment.keyframes.packet_signal import choose_by_packets, find_packet_peaks
from mama_augment.keyframes.reservoir import Candidate
from mama_augment.keyframes.scan import Scan, Scanner

Jpeg = Future[bytes]
"""A picture that is being compressed."""
AUTO_GAP_SECONDS = 5.0
"""`auto` trusts the container alone only if intra frames are never further apart."""


def extract_clip(uri: str, span: Span, config: ClipConfig) -> ClipFrames:
    """The key frames of a clip of a local path or a URI.

    A file that shows damage is decoded again by one thread: with several, what the decoder makes
    up for missing data depends on their timing.

    Raises:
        ClipError: the clip gives no key frames, with the reason.
    """
    num_threads = config.limits.num_threads
    with local_file(uri) as path:
        extraction, num_errors = _extract(path, span, config, num_threads)
        if num_errors and num_threads > 1:
            extraction, _ = _extract(path, span, config, 1)
    if isinstance(extraction, ClipError):
        raise ClipError(extraction.reason, extraction.message.replace(path, uri))
    return extraction


def _extract(
    path: str, span: Span, config: ClipConfig, num_threads: int
) -> tuple[ClipFrames | ClipError, int]:
    """The clip or its reason, and how much damage was met."""
    num_errors = 0
    try:
        with open_video(path, config.limits, num_threads=num_threads) as video:
            if config.decoder == "decord":
                reader: ClipReader = DecordReader(video, span, num_threads=num_threads)
            else:
                reader = ClipReader(video, span)
            try:
                with ThreadPoolExecutor(num_threads) as pool:
                    return _Extraction(path, reader, config, pool).run(), reader.num_errors
            finally:
                num_errors = reader.num_errors
    except ClipError as error:
        return error, num_errors


class _Extraction:
    def __init__(
        self, path: str, reader: ClipReader, config: ClipConfig, pool: ThreadPoolExecutor
    ) -> None:
        self._path = path
        self._reader = reader
        self._config = config
        self._pool = pool
        self._scaler = Scaler(config.picture, reader.info.pixel_aspect)

    def run(self) -> ClipFrames:
        if not len(self._reader.packets):
            raise ClipError("unreadable", f"{self._path}: no picture data can be read")
        self._check_length(self._reader.num_indexed)
        strategy = self._strategy()
        if strategy == "peaks" or not self._reader.has_timeline:
            return self._by_scan(find_shots=strategy == "peaks")
        chosen = self._choose_unseen(strategy)
        images, times = self._fetch(chosen)
        if len(images) < len(chosen):
            # The index promised frames that the decoder does not give: look at what there is.
            return self._by_scan(find_shots=strategy == "packets")
        return self._row(strategy, images, times, self._reader.num_indexed)

    def _strategy(self) -> str:
        """The strategy to use: `auto` and `packets` need a container that tells enough."""
        strategy = self._config.choice.strategy
        if strategy not in ("auto", "packets"):
            return strategy
        if not self._reader.has_timeline:
            return "peaks"
        if strategy == "packets":
            return strategy
        keys = np.flatnonzero(self._reader.is_key)
        gap = AUTO_GAP_SECONDS * (self._reader.info.fps or DEFAULT_FPS)
        has_enough = len(keys) >= self._config.choice.num_frames
        # Where every frame is intra, sizes say little about change.
        is_telling = len(keys) < self._reader.num_indexed
        is_dense = np.diff(keys, append=self._reader.num_indexed).max(initial=0) <= gap
        return "packets" if has_enough and is_telling and is_dense else "peaks"

    def _check_length(self, num_frames: int) -> None:
        least = self._config.least_frames
        if num_frames < least:
            raise ClipError(
                "too_short", f"{self._path}: {num_frames} frames in the clip; {least} wanted"
            )

    def _choose_unseen(self, strategy: str) -> list[int]:
        """Frames chosen from what the container tells."""
        num_wanted = self._config.choice.num_frames
        is_key, num_frames = self._reader.is_key, self._reader.num_indexed
        if strategy == "uniform":
            return keyframes.choose_uniform(num_frames, num_wanted)
        if strategy == "iframes":
            return keyframes.choose_iframes(is_key, num_wanted)
        packets, positions = self._reader.packets, self._reader.positions
        is_forward = packets.pts >= np.maximum.accumulate(packets.pts)
        peaks = find_packet_peaks(
            packets.size_bytes[positions],
            is_key,
            is_forward[positions],
            least_distance=self._config.choice.least_shot_frames,
        )
        shots = keyframes.split_at_peaks(peaks, num_frames, num_wanted)
        key_at = np.where(packets.is_key, np.arange(len(packets)), 0)
        cost = positions - np.maximum.accumulate(key_at)[positions] + 1
        return choose_by_packets(shots, is_key, cost, num_wanted)

    def _by_scan(self, *, find_shots: bool) -> ClipFrames:
        choice = self._config.choice
        scan = self._scan()
        if not scan.pts and self._reader.has_timeline:
            self._reader.distrust_timeline()
            scan = self._scan()
        num_scanned = len(scan.pts)
        if not num_scanned:
            raise ClipError("unreadable", f"{self._path}: no frame can be decoded")
        num_frames = max(scan.frame_index[-1] + 1, 0 if scan.is_whole else self._reader.num_indexed)
        self._check_length(num_frames)
        peaks = keyframes.find_peaks(scan.change_N, choice) if find_shots else [0]
        shots = keyframes.split_at_peaks(peaks, num_scanned, choice.num_frames)
        segments = keyframes.allot(shots, choice.num_frames)
        indices = np.array(sorted(scan.candidates), np.int64)
        scores = np.array([scan.candidates[i].score for i in indices.tolist()])
        picked = keyframes.choose_candidates(segments, indices, scores)
        kept = [i for i in picked if i is not None]
        missed = [m for m, p in zip(keyframes.middles(segments), picked, strict=True) if p is None]
        jpegs = self._candidate_jpegs([scan.candidates[i] for i in kept])
        images = {scan.frame_index[i]: jpeg for i, jpeg in zip(kept, jpegs, strict=True)}
        times = {scan.frame_index[i]: scan.pts[i] for i in kept}
        if missed:
            more_images, more_times = self._fetch([scan.frame_index[i] for i in missed])
            images |= more_images
            times |= more_times
        return self._row("peaks" if find_shots else "uniform", images, times, num_frames)

    def _scan(self) -> Scan:
        reader, choice = self._reader, self._config.choice
        sample = keyframes.choose_scanned(reader.is_key, choice, reader.info.fps or DEFAULT_FPS)
        scanner = Scanner(
            self._scaler,
            expected_frames=reader.num_indexed if sample is None else len(sample),
            num_wanted=choice.num_frames,
        )
        return scanner.run(reader.frames() if sample is None else reader.fetch(sample))

    def _candidate_jpegs(self, candidates: list[Candidate]) -> list[Jpeg]:
        """Scaled and compressed in threads, but for the first: it sets the size of all."""
        first = [self._jpeg(self._image(candidate)) for candidate in candidates[:1]]
        return first + [self._pool.submit(self._candidate_bytes, c) for c in candidates[1:]]

    def _candidate_bytes(self, candidate: Candidate) -> bytes:
        return jpeg_bytes(self._image(candidate), self._config.picture.jpeg_quality)

    def _image(self, candidate: Candidate) -> Image:
        return self._scaler.rgb(candidate.frame) if candidate.image is None else candidate.image

    def _jpeg(self, image: Image) -> Jpeg:
        return self._pool.submit(jpeg_bytes, image, self._config.picture.jpeg_quality)

    def _fetch(self, indices: list[int]) -> tuple[dict[int, Jpeg], dict[int, int]]:
        """Pictures and time stamps by clip index, of the frames that can be decoded; pictures are
        compressed while the next ones are being decoded."""
        images, times = {}, {}
        for index, pts, frame in self._reader.fetch(indices):
            images[index] = self._jpeg(self._scaler.rgb(frame))
            times[index] = pts
        return images, times

    def _row(
        self,
        strategy: str,
        images: Mapping[int, Jpeg],
        times: Mapping[int, int],
        num_frames: int,
    ) -> ClipFrames:
        indices = sorted(images)
        width, height = self._scaler.display_size
        info = self._reader.info
        return ClipFrames(
            width_px=width,
            height_px=height,
            fps=info.fps,
            num_frames=num_frames,
            strategy=strategy,
            frame_index=indices,
            frame_seconds=[round(info.seconds(times[i]), 6) for i in indices],
            frames=[images[i].result() for i in indices],
        )
