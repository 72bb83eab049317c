"""Key frames tiled in reading order into one image at the captioner's own input size.

The paper shows an image-language model twelve key frames as one 3x4 picture (arXiv 2407.03788).
Here the picture is composed directly at the size that the model looks at: pixels beyond it would
be thrown away by the model's own processor.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mama_augment.core.errors import InputError
from mama_augment.core.shared.jpeg import Image, decode_jpeg


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
        letterbox(frame, grid[y : y + cell_height, x : x + cell_width])
    return grid


def letterbox(frame: Image, cell: Image) -> None:
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


def decode_for_cell(encoded: bytes, cell_px: tuple[int, int]) -> Image:
    """A JPEG's pixels, uint8 RGB [H, W, 3], for a cell of `cell_px` (width, height).

    Decoded at 1/2, 1/4 or 1/8 of its size where that is still twice what the cell takes: less
    work, and the area average over the rest is what decides the pixels.

    Raises:
        BrokenFrameError: as `decode_jpeg`.
    """
    # Letterboxing goes by the side that is larger beside its cell.
    return decode_jpeg(encoded, lambda w, h: max(w / cell_px[0], h / cell_px[1]) / 2)


def even_indices(num_items: int, num_wanted: int) -> list[int]:
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
