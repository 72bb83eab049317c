"""A table for spreadsheets, safe to open there: no cell is a formula.

A cell that LibreOffice or Excel would take for a formula gets an apostrophe before it, as both
write such a text themselves. The file begins with a byte order mark, without which Excel takes
UTF-8 for something else; pandas and Arrow skip it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mama_augment.people.export.formats.base import Add, Example, Format, Target

STARTS_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""After blanks too, which some programs take away."""
STARTS_CELL = ("\t", "\r", "\n")
LIST_SEPARATOR = "; "


@contextmanager
def write_csv(target: Target) -> Iterator[Add]:
    """A row per text, with a header; every text is in quotes, and lists are joined by `; `."""
    names = target.schema.names
    with (
        target.file(target.name) as path,
        path.open("w", encoding="utf-8-sig", newline="") as stream,
    ):
        writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow([safe(name) for name in names])

        def add(example: Example) -> None:
            for row in example.rows():
                writer.writerow([_cell(row.get(name)) for name in names])

        yield add


def safe(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would compute it."""
    if text.startswith(STARTS_CELL) or text.strip().startswith(STARTS_FORMULA):
        return f"'{text}"
    return text


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, list):
        value = LIST_SEPARATOR.join(map(str, value))
    # A NUL ends the file for some readers.
    return safe(str(value).replace("\0", "\ufffd"))


CSV = Format(
    help="a table for spreadsheets, without formulas",
    is_folder=False,
    media=("none",),
    writer=write_csv,
)
