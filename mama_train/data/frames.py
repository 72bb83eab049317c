"""From a clip's JPEG files to the pixels a model sees: choice of frames, decoding, augmentation.

Shapes: N stored frames, T frames of the model, H = W = size_px.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mama_augment.core.draws import mix
from mama_augment.core.errors import InputError
from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg
from mama_train.data.rows import ClipRows
from mama_train.models.specs import FrameSpec

Pixels = NDArray[np.uint8]
BRIGHTNESS_PER_STRENGTH = 2.0
SHIFT_PER_STRENGTH = 0.75
KEY_FRAMES, TRAIN_FRAMES = "frames", "train_frames"
NEARLY = 4 / 3
"""Up to so many times too large, a picture is cropped first and interpolated bilinearly."""
STORED_FRAMES = 12
"""Frames per clip that are assumed when memory is estimated."""


class FrameReader:
    """Clips as pixels: uint8 [T,H,W,3] of the shards' JPEG frames: those to train on where shards
    have such (`train_frames`), else the key frames."""

    def __init__(self, spec: FrameSpec, column: str = KEY_FRAMES, num_stored: int = 0) -> None:
        """num_stored: frames of a clip, about; 0 where nobody looked."""
        self.spec, self.column = spec, column
        self.num_stored = num_stored or STORED_FRAMES

    def _files(self, rows: ClipRows, row: int) -> list[bytes]:
        """A clip without frames to train on has its key frames."""
        files = rows.clip(self.column, row).as_py()
        if not files and self.column != KEY_FRAMES and rows.index.has_column(KEY_FRAMES):
            files = rows.clip(KEY_FRAMES, row).as_py()
        return files or []

    def stored(self, rows: ClipRows, row: int) -> Pixels:
        """[N,H,W,3] of all stored frames."""
        files = self._files(rows, row)
        return decode_frames(files, np.arange(len(files)), self.spec, clip_id=rows.clip_id(row))

    def chosen(self, rows: ClipRows, row: int, draw: int | None) -> Pixels:
        """[T,H,W,3], nothing else decoded."""
        files = self._files(rows, row)
        which = choose_frames(len(files), self.spec.num_frames, draw)
        return decode_frames(files, which, self.spec, clip_id=rows.clip_id(row))

    def picked(self, stored: Pixels, draw: int | None) -> Pixels:
        """Those of all that a visit takes."""
        return stored[choose_frames(len(stored), self.spec.num_frames, draw)]

    def augmented(self, video_THWC: Pixels, strength: float, draw: int) -> Pixels:
        """See `augment`."""
        return augment(video_THWC, strength, draw)

    def empty(self, num: int) -> Pixels:
        """Room for so many clips."""
        size = self.spec.size_px
        return np.empty((num, self.spec.num_frames, size, size, 3), np.uint8)

    @property
    def bytes_per_clip(self) -> int:
        """Memory for all frames of a clip, about."""
        return max(self.spec.num_frames, self.num_stored) * self.spec.size_px**2 * 3


def choose_frames(num_stored: int, num_wanted: int, draw: int | None = None) -> NDArray[np.int64]:
    """T of N frame numbers, ascending: evenly spread, first and last included; frames repeat when
    there are fewer than wanted. With a `draw`, one at random from each of T even stretches."""
    if draw is None or num_stored <= num_wanted:
        return np.linspace(0, num_stored - 1, num_wanted).round().astype(np.int64)
    edges = np.linspace(0, num_stored, num_wanted + 1)
    places = edges[:-1] + uniforms(draw, num_wanted) * np.diff(edges)
    return np.minimum(places.astype(np.int64), num_stored - 1)


def decode_frames(
    files: Sequence[bytes], which: NDArray[np.int64], spec: FrameSpec, *, clip_id: str
) -> Pixels:
    """[len(which),H,W,3] RGB of the chosen frames, each decoded once.

    Raises:
        InputError: a frame cannot be read as an image, or there are none.
    """
    if not files:
        raise InputError(f"clip {clip_id!r} has no frames; make the shards again")
    video = np.empty((len(which), spec.size_px, spec.size_px, 3), np.uint8)
    places: dict[int, int] = {}
    for place, i in enumerate(which.tolist()):
        earlier = places.setdefault(i, place)
        video[place] = video[earlier] if earlier < place else _decode(files[i], spec, clip_id)
    return video


def augment(video_THWC: Pixels, strength: float, draw: int) -> Pixels:
    """Zoom, shift and brighten a clip a little, all frames alike, so that motion stays true.

    `strength` 0.1: zoom by up to 10 %, shift by up to 7.5 % of the frame, brightness by up to
    20 %. Never mirrored: "left" would no longer be left.
    """
    size = video_THWC.shape[1]
    u = 2 * uniforms(draw ^ 0x5DEECE66D, 4) - 1
    zoom = 1 + strength * u[0]
    shift = strength * SHIFT_PER_STRENGTH * size * u[1:3]
    centre = (size - 1) / 2
    matrix = np.array(
        [[zoom, 0, centre - zoom * centre + shift[0]], [0, zoom, centre - zoom * centre + shift[1]]]
    )
    gain = 1 + strength * BRIGHTNESS_PER_STRENGTH * u[3]
    out = np.empty_like(video_THWC)
    for i, frame in enumerate(video_THWC):
        moved = cv2.warpAffine(frame, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        out[i] = cv2.convertScaleAbs(moved, alpha=gain)
    return out


def uniforms(draw: int, num: int) -> NDArray[np.float64]:
    """`num` numbers in [0, 1) that are a hash of `draw`."""
    return mix(np.arange(num), draw) / 2.0**64


def _decode(jpeg: bytes, spec: FrameSpec, clip_id: str) -> Pixels:
    size = spec.size_px
    try:
        pixels = decode_jpeg(jpeg, lambda width, height: min(width, height) / size)
    except BrokenFrameError as error:
        raise InputError(f"clip {clip_id!r}: one of its frames is {error}") from error
    height, width = pixels.shape[:2]
    if spec.fit == "stretch":
        return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    scale = size / min(height, width)
    if 1 < 1 / scale <= NEARLY:
        # 256 to 224 px: a third of the time of the way below, which averages areas and is meant
        # for more; pixels differ by 0.4 of 255 on average.
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = pixels[top : top + side, left : left + side]
        return cv2.resize(square, (size, size), interpolation=cv2.INTER_LINEAR)
    wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    if (wide, high) != (width, height):
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (wide, high), interpolation=kind)
    top, left = (high - size) // 2, (wide - size) // 2
    return pixels[top : top + size, left : left + size]
