"""Key frames of one clip, from path and span to JPEGs: what a decoding worker does.

Which frames, a strategy decides (`strategies/`); here are the pictures: the file is opened, the
frames that the strategy names are decoded, unless its scan kept them, scaled and compressed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mama_augment.core.shared.flags import INTERLACED, SIZE_CHANGES
from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError
from mama_augment.decode.frames.decord_reader import DecordReader
from mama_augment.decode.frames.reader import DEFAULT_FPS, ClipReader
from mama_augment.decode.packets import PacketIndex
from mama_augment.decode.picture.scaler import Image, Scaler, jpeg_bytes
from mama_augment.decode.source import OpenVideo, open_video
from mama_augment.keyframes.config import ClipConfig, ClipFrames
from mama_augment.keyframes.look import Grey, grey_copy, look_flags, look_hash
from mama_augment.keyframes.strategies import STRATEGIES
from mama_augment.keyframes.strategies.base import Choice
from mama_augment.keyframes.strategies.choose import choose_uniform
from mama_augment.keyframes.strategies.reservoir import Candidate
from mama_augment.keyframes.strategies.scan import Scan, scan_clip


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A picture as it is stored, and its small grey copy."""

    jpeg: bytes
    grey: Grey


Pictures = dict[int, tuple[int, Future[Stored]]]
"""Clip index to time stamp and a picture that is being compressed."""


def extract_clip(path: str, span: Span, config: ClipConfig, root: str | None = None) -> ClipFrames:
    """The key frames of a clip of a local file, which must lie in `root` if that is given.

    A file that shows damage is decoded again by one thread: with several, what the decoder makes
    up for missing data depends on their timing.

    Raises:
        ClipError: the clip gives no key frames, with the reason.
    """
    num_threads = config.limits.num_threads
    extraction, num_errors = _extract(path, span, config, num_threads, root)
    if num_errors and num_threads > 1:
        extraction, _ = _extract(path, span, config, 1, root)
    if isinstance(extraction, ClipError):
        raise extraction
    return extraction


def _extract(
    path: str, span: Span, config: ClipConfig, num_threads: int, root: str | None
) -> tuple[ClipFrames | ClipError, int]:
    """The clip or its reason, and how much damage was met."""
    num_errors = 0
    try:
        with open_video(path, config.limits, num_threads=num_threads, root=root) as video:
            reader = _reader(video, span, config.decoder, num_threads)
            try:
                with ThreadPoolExecutor(num_threads) as pool:
                    found = _key_frames(OpenClip(path, reader, config, pool))
                    return found, reader.num_errors
            finally:
                num_errors = reader.num_errors
    except ClipError as error:
        return error, num_errors


def _reader(video: OpenVideo, span: Span, decoder: str, num_threads: int) -> ClipReader:
    if decoder == "decord":
        return DecordReader(video, span, num_threads=num_threads)
    return ClipReader(video, span)


def _key_frames(clip: OpenClip) -> ClipFrames:
    """Choose frames and get their pictures; once more where the container's index was wrong."""
    choice = _choose(clip)
    pictures = clip.pictures(choice.frame_index)
    if len(pictures) < len(choice.frame_index) and not clip.is_scanned:
        # The index promised frames that the decoder does not give: look at what there is.
        clip.is_indexed = False
        choice = _choose(clip)
        pictures = clip.pictures(choice.frame_index)
    found = clip.frames(choice.strategy, pictures)
    if not clip.config.training.num_frames:
        return found
    seconds, frames = clip.train_frames()
    return dataclasses.replace(found, train_frame_seconds=seconds, train_frames=frames)


def _choose(clip: OpenClip) -> Choice:
    strategy = STRATEGIES[clip.config.choice.strategy]
    if strategy.without_index is not None and not clip.is_indexed:
        strategy = STRATEGIES[strategy.without_index]
    return strategy().choose(clip, clip.config.choice)


class OpenClip:
    """A clip in an open file: the `ClipView` that strategies look at, and its pictures."""

    def __init__(
        self, path: str, reader: ClipReader, config: ClipConfig, pool: ThreadPoolExecutor
    ) -> None:
        """
        Raises:
            ClipError: the container shows already that nothing, or too little, is there.
        """
        self.config = config
        self.is_indexed = reader.has_timeline
        self.num_frames = reader.num_indexed
        self._path = path
        self._reader = reader
        self._pool = pool
        self._scaler = Scaler(config.picture, reader.info.pixel_aspect)
        self._scan: Scan | None = None
        if not len(reader.packets):
            raise ClipError("unreadable", f"{path}: no picture data can be read")
        self._check_length()

    @property
    def fps(self) -> float:
        return self._reader.fps or DEFAULT_FPS

    @property
    def is_key(self) -> npt.NDArray[np.bool_]:
        return self._reader.is_key

    @property
    def packets(self) -> PacketIndex:
        return self._reader.packets

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        return self._reader.positions

    @property
    def is_scanned(self) -> bool:
        """Whether the choice was made from what the decoder gives."""
        return self._scan is not None

    def scan(self) -> Scan:
        """See ClipView."""
        reader, choice = self._reader, self.config.choice
        scan = scan_clip(reader, self._scaler, choice, num_wanted=choice.num_frames)
        if not scan.pts and reader.has_timeline and reader.num_strangers:
            # Frames there are, but none bears a time that the container knows.
            reader.distrust_timeline()
            scan = scan_clip(reader, self._scaler, choice, num_wanted=choice.num_frames)
        if not scan.pts:
            raise ClipError("unreadable", f"{self._path}: no frame can be decoded")
        self.num_frames = max(scan.frame_index[-1] + 1, 0 if scan.is_whole else reader.num_indexed)
        self._check_length()
        self._scan = scan
        return scan

    def pictures(self, frame_index: Sequence[int]) -> Pictures:
        """Those of the frames that can be decoded; compressed while the next are being decoded."""
        scanned = self._scanned()
        kept = [index for index in frame_index if index in scanned]
        jpegs = self._candidate_jpegs([scanned[index][1] for index in kept])
        pictures = {i: (scanned[i][0], jpeg) for i, jpeg in zip(kept, jpegs, strict=True)}
        missed = [index for index in frame_index if index not in scanned]
        if missed:
            for index, pts, frame in self._reader.fetch(missed):
                pictures[index] = pts, self._jpeg(self._scaler.rgb(frame))
        return pictures

    def frames(self, strategy: str, pictures: Pictures) -> ClipFrames:
        """What the clip's row holds."""
        indices = sorted(pictures)
        width, height = self._scaler.display_size
        info = self._reader.info
        stored = [pictures[i][1].result() for i in indices]
        greys = [picture.grey for picture in stored]
        marks = {
            SIZE_CHANGES: self._scaler.has_other_shapes,
            INTERLACED: self._scaler.has_interlaced,
        }
        return ClipFrames(
            width_px=width,
            height_px=height,
            fps=self._reader.fps,
            transfer=self._scaler.transfer,
            num_frames=self.num_frames,
            strategy=strategy,
            frame_index=indices,
            frame_seconds=[round(info.seconds(pictures[i][0]), 6) for i in indices],
            frames=[picture.jpeg for picture in stored],
            frame_hashes=[look_hash(grey) for grey in greys],
            flags=[*look_flags(greys), *(name for name, is_so in marks.items() if is_so)],
        )

    def train_frames(self) -> tuple[list[float], list[bytes]]:
        """Times and JPEGs of evenly spaced frames; those that cannot be decoded are left out."""
        training, reader = self.config.training, self._reader
        picture = dataclasses.replace(self.config.picture, short_side_px=training.short_side_px)
        scaler = Scaler(picture, reader.info.pixel_aspect)
        seconds: list[float] = []
        frames: list[Future[bytes]] = []
        for _, pts, frame in reader.fetch(choose_uniform(self.num_frames, training.num_frames)):
            seconds.append(round(reader.info.seconds(pts), 6))
            image = scaler.rgb(frame)
            frames.append(self._pool.submit(jpeg_bytes, image, picture.jpeg_quality))
        return seconds, [frame.result() for frame in frames]

    def _check_length(self) -> None:
        least = self.config.least_frames
        if self.num_frames < least:
            raise ClipError(
                "too_short", f"{self._path}: {self.num_frames} frames in the clip; {least} wanted"
            )

    def _scanned(self) -> dict[int, tuple[int, Candidate]]:
        """Clip index to time stamp and candidate, of what a scan kept."""
        if self._scan is None:
            return {}
        scan = self._scan
        return {scan.frame_index[i]: (scan.pts[i], c) for i, c in scan.candidates.items()}

    def _candidate_jpegs(self, candidates: list[Candidate]) -> list[Future[Stored]]:
        """Scaled and compressed in threads, but for the first: it sets the size of all."""
        first = [self._jpeg(self._image(candidate)) for candidate in candidates[:1]]
        return first + [self._pool.submit(self._candidate_bytes, c) for c in candidates[1:]]

    def _candidate_bytes(self, candidate: Candidate) -> Stored:
        return self._stored(self._image(candidate))

    def _image(self, candidate: Candidate) -> Image:
        return self._scaler.rgb(candidate.frame) if candidate.image is None else candidate.image

    def _jpeg(self, image: Image) -> Future[Stored]:
        return self._pool.submit(self._stored, image)

    def _stored(self, image: Image) -> Stored:
        jpeg = jpeg_bytes(image, self.config.picture.jpeg_quality)
        return Stored(jpeg=jpeg, grey=grey_copy(image))
