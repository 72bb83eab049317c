"""How key frames lie on a grid; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from mama_augment.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class GridLayout:
    """Rows and columns of a grid; the paper's demo tiles 12 key frames as 3x4."""

    rows: int = 3
    columns: int = 4

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise InputError(f"--grid is {self.rows}x{self.columns}; both must be at least 1")

    @classmethod
    def parse(cls, text: str) -> GridLayout:
        """Read `ROWSxCOLUMNS`, such as `3x4`.

        Raises:
            InputError: `text` has another form.
        """
        rows, cross, columns = text.lower().partition("x")
        if not (cross and rows.strip().isdigit() and columns.strip().isdigit()):
            raise InputError(f"--grid is {text!r}; give ROWSxCOLUMNS, such as 3x4")
        return cls(rows=int(rows), columns=int(columns))

    @property
    def num_cells(self) -> int:
        return self.rows * self.columns

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"
