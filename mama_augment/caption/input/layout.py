"""How key frames lie on a grid; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mama_augment.core.errors import InputError

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class GridLayout:
    """Rows and columns of a grid; the paper's demo tiles 12 key frames as 3x4."""

    rows: int = 3
    columns: int = 4

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise InputError(f"--grid is {self.rows}x{self.columns}; both must be at least 1")

    @classmethod
    def parse(cls, text: str) -> GridLayout | None:
        """Read `ROWSxCOLUMNS`, such as `3x4`, or `auto`, which is None.

        Raises:
            InputError: `text` has another form.
        """
        if text.strip().lower() == AUTO:
            return None
        rows, cross, columns = text.lower().partition("x")
        if not (cross and rows.strip().isdigit() and columns.strip().isdigit()):
            raise InputError(f"--grid is {text!r}; give auto, or ROWSxCOLUMNS, such as 3x4")
        return cls(rows=int(rows), columns=int(columns))

    @property
    def num_cells(self) -> int:
        return self.rows * self.columns

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True, kw_only=True)
class PictureSize:
    """How large a grid suits a model.

    step_px: None: the picture has exactly this size. Else the model takes any shape: this is an
    area, a token budget, and sides are multiples of `step_px`.
    """

    width_px: int
    height_px: int
    step_px: int | None = None

    def __str__(self) -> str:
        size = f"{self.width_px}x{self.height_px} px"
        return size if self.step_px is None else f"the area of {size}, in the frames' own shape"


def arrange(
    num_frames: int, frame_px: tuple[int, int], size: PictureSize, layout: GridLayout | None
) -> tuple[GridLayout, tuple[int, int]]:
    """The layout and the (width, height) in pixels of a grid of frames of one size; pure.

    A picture of fixed size gets the layout in which frames are largest; of equal ones that with
    fewest empty cells, then that with more columns than rows (the paper's 3x4 for 12 square
    frames). A picture of any shape gets cells of the frames' own shape, as few empty ones as can
    be, so laid out that the whole is nearest to a square; frames are never enlarged for it.

    layout: what a person asked for; None: the best one.
    """
    choices = [layout] if layout is not None else list(_layouts(num_frames))
    if size.step_px is None:
        fixed_px = (size.width_px, size.height_px)
        best = max(choices, key=lambda one: _fixed_merit(one, num_frames, frame_px, fixed_px))
        return best, fixed_px
    best = max(choices, key=lambda one: _free_merit(one, num_frames, frame_px))
    return best, _free_size_px(best, frame_px, size)


def _layouts(num_frames: int) -> Iterator[GridLayout]:
    """Every number of columns, with as many rows as it needs."""
    for columns in range(1, num_frames + 1):
        yield GridLayout(rows=-(-num_frames // columns), columns=columns)


def _fixed_merit(
    layout: GridLayout, num_frames: int, frame_px: tuple[int, int], size_px: tuple[int, int]
) -> tuple[float, int, int]:
    cell_px = (size_px[0] // layout.columns, size_px[1] // layout.rows)
    scale = min(cell_px[0] / frame_px[0], cell_px[1] / frame_px[1])
    # Rounded: layouts that differ by rounding alone are equal.
    return (round(scale, 6), num_frames - layout.num_cells, layout.columns - layout.rows)


def _free_merit(
    layout: GridLayout, num_frames: int, frame_px: tuple[int, int]
) -> tuple[int, float, int]:
    aspect = layout.columns * frame_px[0] / (layout.rows * frame_px[1])
    # An empty cell costs a share of the budget, and a strip of one row is seen badly by any model:
    # up to one cell in eight may stay empty for the sake of the shape.
    allowed = num_frames // 8
    waste = max(0, layout.num_cells - num_frames - allowed)
    return (-waste, -round(abs(math.log(aspect)), 6), layout.columns)


def _free_size_px(
    layout: GridLayout, frame_px: tuple[int, int], size: PictureSize
) -> tuple[int, int]:
    """Whole steps, at least a pixel a cell, and no more area than the budget."""
    step = size.step_px
    assert step is not None
    full = (layout.columns * frame_px[0], layout.rows * frame_px[1])
    budget = size.width_px * size.height_px
    scale = min(1.0, math.sqrt(budget / (full[0] * full[1])))
    width = max(1, round(full[0] * scale / step))
    height = max(1, round(full[1] * scale / step))
    while width * height * step * step > budget and max(width, height) > 1:
        # Rounding went over it: the side gives way that was rounded up further.
        if width * step / full[0] > height * step / full[1] and width > 1:
            width -= 1
        elif height > 1:
            height -= 1
        else:
            width -= 1
    return (max(width * step, layout.columns), max(height * step, layout.rows))
