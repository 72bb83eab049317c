"""Key frames of one clip, from path and span to JPEGs: what a decoding worker does."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt

from mama_augment import keyframes
from mama_augment.fetch_plan import Run, plan_fetch
from mama_augment.packet_signal import choose_by_packets, find_packet_peaks
from mama_augment.video.config import ClipConfig, ClipFrames, Span
from mama_augment.video.decode import Decoder
from mama_augment.video.errors import ClipError
from mama_augment.video.local_file import local_file
from mama_augment.video.packets import index_packets
from mama_augment.video.picture import Image, Scaler, jpeg_bytes
from mama_augment.video.reservoir import Candidate
from mama_augment.video.scan import Scan, Scanner
from mama_augment.video.source import OpenVideo, open_video

DEFAULT_FPS = 25.0
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
    num_errors = 0
    try:
        with open_video(path, config.limits, num_threads=num_threads) as video:
            clip = _Clip(video, span, config)
            try:
                return clip.extract(), clip.decoder.num_errors
            finally:
                num_errors = clip.decoder.num_errors
    except ClipError as error:
        return error, num_errors


class _Clip:
    def __init__(self, video: OpenVideo, span: Span, config: ClipConfig) -> None:
        self.video = video
        self.span = span
        self.config = config
        self.decoder = Decoder(video)
        self.scaler = Scaler(config.picture, video.info.pixel_aspect)
        self.index = index_packets(video)
        self.positions = self._positions()

    def _positions(self) -> npt.NDArray[np.int64]:
        """Packet positions of the clip's frames in display order; all packets without times."""
        if not self.index.has_timeline:
            return np.arange(len(self.index))
        info = self.video.info
        seconds = self.index.pts * info.time_base_seconds - info.origin_seconds
        order = np.argsort(self.index.pts, kind="stable")
        return order[(self.index.is_shown & self.span.holds(seconds))[order]]

    def extract(self) -> ClipFrames:
        if not len(self.index):
            raise ClipError("unreadable", f"{self.video.path}: no picture data can be read")
        self._check_length(len(self.positions))
        strategy = self._strategy()
        if strategy == "peaks":
            return self._by_scan(find_shots=True)
        if not self.index.has_timeline:
            return self._by_scan(find_shots=False)
        chosen = self._choose_unseen(strategy)
        images = self._fetch(chosen)
        if len(images) < len(chosen):
            # The index promised frames that the decoder does not give: look at what there is.
            return self._by_scan(find_shots=strategy == "packets")
        pts = {i: int(self.index.pts[self.positions[i]]) for i in chosen}
        return self._row(strategy, images, pts, len(self.positions))

    def _strategy(self) -> str:
        """The strategy to use: `auto` and `packets` need a container that tells enough."""
        strategy = self.config.choice.strategy
        if strategy not in ("auto", "packets"):
            return strategy
        if not self.index.has_timeline:
            return "peaks"
        if strategy == "packets":
            return strategy
        keys = np.flatnonzero(self.index.is_key[self.positions])
        fps = self.video.info.fps or DEFAULT_FPS
        is_dense = len(keys) >= self.config.choice.num_frames and (
            np.diff(keys).max(initial=1) <= AUTO_GAP_SECONDS * fps
        )
        return "packets" if is_dense and len(keys) < len(self.positions) else "peaks"

    def _check_length(self, num_frames: int) -> None:
        least = max(1, self.config.least_frames)
        if num_frames < least:
            span = f"[{self.span.start_seconds}, {self.span.end_seconds})"
            raise ClipError(
                "too_short",
                f"{self.video.path}: {num_frames} frames in {span} s; at least {least} wanted",
            )

    def _choose_unseen(self, strategy: str) -> list[int]:
        num_wanted = self.config.choice.num_frames
        is_key = self.index.is_key[self.positions]
        if strategy == "iframes":
            return keyframes.choose_iframes(is_key, num_wanted)
        if strategy == "packets":
            pts = self.index.pts
            peaks = find_packet_peaks(
                self.index.size_bytes[self.positions],
                is_key,
                (pts >= np.maximum.accumulate(pts))[self.positions],
                least_distance=self.config.choice.least_shot_frames,
            )
            shots = keyframes.split_at_peaks(peaks, len(self.positions), num_wanted)
            keys = np.flatnonzero(self.index.is_key)
            before = np.searchsorted(keys, self.positions, side="right") - 1
            cost = self.positions - keys[np.maximum(before, 0)] + 1 if len(keys) else self.positions
            return choose_by_packets(shots, is_key, cost, num_wanted)
        return keyframes.choose_uniform(len(self.positions), num_wanted)

    def _fetch(self, chosen: list[int]) -> dict[int, Image]:
        """Decode chosen frames by clip index; what does not come out is missing in the answer."""
        positions = [int(self.positions[i]) for i in chosen]
        by_pts = {int(self.index.pts[p]): i for p, i in zip(positions, chosen, strict=True)}
        runs = plan_fetch(self.index.pts, self.index.is_key, positions)
        frames = self.decoder.runs(self.index, runs, set(by_pts))
        return {by_pts[frame.pts]: self.scaler.rgb(frame) for frame in frames}

    def _by_scan(self, *, find_shots: bool) -> ClipFrames:
        choice = self.config.choice
        scan = self._scan()
        num_frames = len(scan.pts)
        if not num_frames:
            raise ClipError("unreadable", f"{self.video.path}: no frame can be decoded")
        self._check_length(num_frames)
        peaks = keyframes.find_peaks(scan.change_N, choice) if find_shots else [0]
        shots = keyframes.split_at_peaks(peaks, num_frames, choice.num_frames)
        segments = keyframes.allot(shots, choice.num_frames)
        indices = np.array(sorted(scan.candidates), np.int64)
        scores = np.array([scan.candidates[i].score for i in indices.tolist()])
        picked = keyframes.choose_candidates(segments, indices, scores)
        missed = [m for m, p in zip(keyframes.middles(segments), picked, strict=True) if p is None]
        images = {i: self._image(scan.candidates[i]) for i in picked if i is not None}
        images |= self._fetch_seen(missed, scan) if missed else {}
        strategy = "peaks" if find_shots else "uniform"
        return self._row(strategy, images, {i: scan.pts[i] for i in images}, num_frames)

    def _image(self, candidate: Candidate) -> Image:
        return self.scaler.rgb(candidate.frame) if candidate.image is None else candidate.image

    def _scan(self) -> Scan:
        scanner = Scanner(
            self.scaler,
            expected_frames=len(self.positions),
            num_wanted=self.config.choice.num_frames,
        )
        return scanner.run(self._clip_frames())

    def _clip_frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """The clip's frames in display order with their time stamps."""
        runs = [Run(first=0, last=len(self.index) - 1)]
        if self.index.has_timeline:
            # The frame shown first may lead the key frame that is decoded before it.
            first = [int(self.positions[0]), int(self.positions.min())]
            start = plan_fetch(self.index.pts, self.index.is_key, first)[0].first
            runs = [Run(first=start, last=int(self.positions.max()))]
        seconds = self.video.info.seconds
        is_whole = self.span == Span()
        for ordinal, frame in enumerate(self.decoder.runs(self.index, runs, None)):
            pts = self._pts(frame, ordinal)
            if is_whole or self.span.holds(seconds(pts)):
                yield pts, frame

    def _pts(self, frame: av.VideoFrame, ordinal: int) -> int:
        if self.index.has_timeline and frame.pts is not None:
            return int(frame.pts)
        info = self.video.info
        ticks = self.index.ticks_without_timeline(ordinal)
        if ticks is None:
            ticks = round(ordinal / (info.fps or DEFAULT_FPS) / info.time_base_seconds)
        return ticks + round(info.origin_seconds / info.time_base_seconds)

    def _fetch_seen(self, missed: list[int], scan: Scan) -> dict[int, Image]:
        """Frames that the scan saw and let go: fetched by time, or by a second pass."""
        position_of = {int(pts): p for p, pts in enumerate(self.index.pts.tolist())}
        if self.index.has_timeline and all(scan.pts[i] in position_of for i in missed):
            by_pts = {scan.pts[i]: i for i in missed}
            runs = plan_fetch(
                self.index.pts, self.index.is_key, [position_of[pts] for pts in by_pts]
            )
            frames = self.decoder.runs(self.index, runs, set(by_pts))
            return {by_pts[frame.pts]: self.scaler.rgb(frame) for frame in frames}
        wanted = set(missed)
        return {
            i: self.scaler.rgb(frame)
            for i, (_, frame) in enumerate(self._clip_frames())
            if i in wanted
        }

    def _row(
        self, strategy: str, images: dict[int, Image], pts: dict[int, int], num_frames: int
    ) -> ClipFrames:
        indices = sorted(images)
        width, height = self.scaler.display_size
        return ClipFrames(
            width_px=width,
            height_px=height,
            fps=self.video.info.fps,
            num_frames=num_frames,
            strategy=strategy,
            frame_index=indices,
            frame_seconds=[round(self.video.info.seconds(pts[i]), 6) for i in indices],
            frames=[jpeg_bytes(images[i], self.config.picture.jpeg_quality) for i in indices],
        )
