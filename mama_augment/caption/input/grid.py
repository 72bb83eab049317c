"""Key frames tiled in reading order into one image at the captioner's own input size.

The paper shows an image-language model twelve key frames as one 3x4 picture (arXiv 2407.03788).
Here the picture is composed directly at the size that the model looks at: pixels beyond it would
be thrown away by the model's own processor.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from mama_augment.core.errors import InputError

Image = npt.NDArray[np.uint8]


def compose_grid(
    frames: npt.NDArray[np.uint8] | Sequence[Image],
    rows: int,
    columns: int,
    size_px: tuple[int, int],
) -> Image:
    """Tile frames left to right, then top to bottom; pure.

    Cells are all `width // columns` by `height // rows`; what the division leaves over is a black
    border around the grid. Each frame keeps its aspect ratio inside its cell (letterboxed).

    Args:
        frames: uint8 RGB, [Q, H, W, 3] or a sequence of [H, W, 3] whose sizes may differ.
            With fewer than rows x columns the trailing cells stay black.
        size_px: (width, height) of the grid.

    Returns:
        uint8 RGB [height, width, 3].

    Raises:
        InputError: there are more frames than cells, or cells would be smaller than one pixel.
    """
    width, height = size_px
    cell_width, cell_height = width // columns, height // rows
    if cell_width < 1 or cell_height < 1:
        raise InputError(f"a {rows}x{columns} grid does not fit into {width}x{height} px")
    if len(frames) > rows * columns:
        raise InputError(
            f"{len(frames)} frames do not fit into a {rows}x{columns} grid of {rows * columns}"
        )
    grid = np.zeros((height, width, 3), np.uint8)
    left, top = (width - cell_width * columns) // 2, (height - cell_height * rows) // 2
    for index, frame in enumerate(frames):
        row, column = divmod(index, columns)
        y, x = top + row * cell_height, left + column * cell_width
        _letterbox(frame, grid[y : y + cell_height, x : x + cell_width])
    return grid


def _letterbox(frame: Image, cell: Image) -> None:
    """Write `frame` into the middle of `cell`, as large as fits, edges kept black."""
    assert frame.dtype == np.uint8, frame.dtype
    assert frame.ndim == 3, frame.shape
    frame_height, frame_width = frame.shape[:2]
    cell_height, cell_width = cell.shape[:2]
    scale = min(cell_width / frame_width, cell_height / frame_height)
    width = min(cell_width, max(1, round(frame_width * scale)))
    height = min(cell_height, max(1, round(frame_height * scale)))
    # Area averaging is for shrinking; enlarged by it, pixels would become blocks.
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    y, x = (cell_height - height) // 2, (cell_width - width) // 2
    cell[y : y + height, x : x + width] = cv2.resize(frame, (width, height), interpolation=how)


MAX_FRAME_PIXELS = 64_000_000


class BrokenFrameError(ValueError):
    """Bytes that are no picture, or one too large to decode safely."""


_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_frame(encoded: bytes, cell_px: tuple[int, int] | None = None) -> Image:
    """A JPEG's pixels, uint8 RGB [H, W, 3].

    cell_px: (width, height) of the cell that the frame is for. The JPEG is then decoded at 1/2,
    1/4 or 1/8 of its size where that is still twice what the cell takes: less work, and
    the area average over the rest is what decides the pixels.

    Raises:
        BrokenFrameError: the bytes do not decode, or the picture has more than 64 million pixels.
    """
    try:
        with PilImage.open(io.BytesIO(encoded)) as header:  # reads no pixels yet
            width, height = header.size
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError) as error:
        raise BrokenFrameError(f"{len(encoded)} bytes are no picture: {error}") from error
    if width * height > MAX_FRAME_PIXELS:
        raise BrokenFrameError(
            f"a frame of {width}x{height} px; at most {MAX_FRAME_PIXELS:,} pixels are decoded"
        )
    factor = 1
    if cell_px is not None:
        larger = max(width / cell_px[0], height / cell_px[1])  # letterboxing goes by this side
        factor = max(f for f in _REDUCED if f == 1 or larger >= 2 * f)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), _REDUCED[factor])
    if pixels is None:
        raise BrokenFrameError(f"{len(encoded)} bytes of a {width}x{height} px frame do not decode")
    if factor > 1:  # these flags know no RGB
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels.astype(np.uint8, copy=False)


def spread(num_items: int, num_wanted: int) -> list[int]:
    """At most `num_wanted` indices of `num_items`, evenly spread, first and last included.

    For a clip that has more key frames than the grid has cells.
    """
    if num_items <= num_wanted:
        return list(range(num_items))
    if num_wanted == 1:
        return [num_items // 2]
    # Integer arithmetic: the same indices on every machine.
    return [
        (2 * i * (num_items - 1) + num_wanted - 1) // (2 * (num_wanted - 1))
        for i in range(num_wanted)
    ]
