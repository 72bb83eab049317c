"""Key frames to what the model sees: a grid, images or the frames of a video; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mama_augment.caption.input.grid import (
    compose_grid,
    decode_for_cell,
    even_indices,
    letterbox,
)
from mama_augment.caption.input.layout import GridLayout, PictureSize, arrange
from mama_augment.caption.input.shown import MOST_SHOWN, Shown
from mama_augment.core.shared.jpeg import BrokenFrameError, Image, decode_jpeg, jpeg_size_px


def show(
    frames: Sequence[bytes],
    seconds: Sequence[float],
    *,
    input: str,
    layout: GridLayout | None,
    size: PictureSize,
) -> Shown:
    """A clip's JPEGs as the model will see them.

    Args:
        seconds: of each frame, from the clip's beginning; a grid needs none.
        layout: None: by the frames' shape and the model's picture.

    Raises:
        BrokenFrameError: naming the frame.
    """
    if input == "grid":
        return _grid(frames, layout, size)
    chosen = even_indices(len(frames), MOST_SHOWN)
    images = [_decoded(frames, index) for index in chosen]
    if input == "video":
        images = [_of_size(image, images[0].shape) for image in images]
    times = tuple(round(float(seconds[index]), 3) for index in chosen)
    return Shown(input=input, images=tuple(images), seconds=times)


def laid_out(
    frames: Sequence[bytes], layout: GridLayout | None, size: PictureSize
) -> tuple[GridLayout, tuple[int, int], list[int]]:
    """The layout of a clip's grid, its (width, height) in pixels, and which frames are on it; from
    the first frame's header, no pixel is decoded.

    Raises:
        BrokenFrameError: the first frame is no picture.
    """
    chosen = even_indices(len(frames), MOST_SHOWN if layout is None else layout.num_cells)
    try:
        frame_px = jpeg_size_px(frames[chosen[0]])
    except BrokenFrameError as error:
        raise BrokenFrameError(f"key frame {chosen[0]} is {error}") from error
    return *arrange(len(chosen), frame_px, size, layout), chosen


def _grid(frames: Sequence[bytes], layout: GridLayout | None, size: PictureSize) -> Shown:
    found, size_px, chosen = laid_out(frames, layout, size)
    cell_px = (max(1, size_px[0] // found.columns), max(1, size_px[1] // found.rows))
    images = [_decoded(frames, index, cell_px) for index in chosen]
    picture = compose_grid(images, found.rows, found.columns, size_px)
    return Shown(input="grid", images=(picture,))


def _decoded(frames: Sequence[bytes], index: int, cell_px: tuple[int, int] | None = None) -> Image:
    try:
        return (
            decode_jpeg(frames[index])
            if cell_px is None
            else decode_for_cell(frames[index], cell_px)
        )
    except BrokenFrameError as error:
        raise BrokenFrameError(f"key frame {index} is {error}") from error


def _of_size(image: Image, shape: tuple[int, ...]) -> Image:
    """As it is, or letterboxed: a stream may change its size half-way."""
    if image.shape == shape:
        return image
    canvas = np.zeros(shape, np.uint8)
    letterbox(image, canvas)
    return canvas
