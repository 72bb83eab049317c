"""How a manifest is read, and what is too large to be one."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option

MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class ManifestLimits:
    """What a manifest may hold.

    A row costs about 300 bytes of memory, and a small file may stand for a huge table: a million
    equal values take a few bytes of Parquet. So there are absolute limits, and limits by the size
    of the file, which no table that says something passes.
    """

    rows: int = field(default=20_000_000, metadata=option("--max-rows"))
    """Refuse a manifest with more rows than this."""
    columns: int = field(default=1_000, metadata=option(hidden=True))
    cell_bytes: int = field(default=4 * MEGABYTE, metadata=option(hidden=True))
    """Of one text."""
    nesting: int = field(default=20, metadata=option(hidden=True))
    """Lists and structs inside each other."""
    rows_per_byte: int = field(default=10, metadata=option(hidden=True))
    bytes_per_byte: int = field(default=100, metadata=option(hidden=True))
    """What a byte of the file may become in memory; and, by eight bytes each, in values …"""
    least_rows: int = field(default=1_000_000, metadata=option(hidden=True))
    least_bytes: int = field(default=256 * MEGABYTE, metadata=option(hidden=True))
    """… beyond what is allowed to any file."""

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise InputError(f"--max-rows is {self.rows}; at least 1 is needed")

    def check_rows(self, num_rows: int, num_columns: int, file_bytes: int) -> None:
        """
        Raises:
            ValueError: there are more rows, or more fields, than a file of this size may have.
        """
        if num_rows > self.rows:
            raise ValueError(
                f"it has more than {self.rows:,} rows; --max-rows allows more, at about 300 bytes "
                "of memory each"
            )
        if num_rows > max(self.least_rows, self.rows_per_byte * file_bytes):
            raise ValueError(
                f"{num_rows:,} rows in {file_bytes:,} bytes: rows that say so little are not those "
                "of clips"
            )
        self.check_bytes(8 * num_rows * num_columns, file_bytes)

    def check_bytes(self, num_bytes: int, file_bytes: int) -> None:
        """
        Raises:
            ValueError: the table takes far more bytes than the file.
        """
        most = max(self.least_bytes, self.bytes_per_byte * file_bytes)
        if num_bytes > most:
            raise ValueError(
                f"its {file_bytes:,} bytes hold a table of more than {most // MEGABYTE:,} MB: "
                "the same values again and again, or columns that are nearly empty"
            )

    def check_columns(self, num_columns: int) -> None:
        """
        Raises:
            ValueError: there are too many.
        """
        if num_columns > self.columns:
            raise ValueError(f"it has {num_columns:,} columns; at most {self.columns:,} are read")

    def check_nesting(self, name: str, depth: int) -> None:
        """
        Raises:
            ValueError: lists and structs of a column lie too deep inside each other.
        """
        if depth > self.nesting:
            raise ValueError(
                f"column {name!r} is nested more than {self.nesting} deep; store it flat, or as "
                "text"
            )

    def check_cell(self, name: str, row: int, num_bytes: int) -> None:
        """
        Raises:
            ValueError: a text is too long.
        """
        if num_bytes > self.cell_bytes:
            raise ValueError(
                f"row {row}: {name} is {num_bytes:,} bytes long; at most {self.cell_bytes:,} are "
                "read"
            )


def depth_of(type_: pa.DataType) -> int:
    """How many lists, structs and maps are inside each other; 0 for plain values."""
    depth = 0
    level: Iterable[pa.DataType] = [type_]
    while level := [child.type for t in level for child in _children(t)]:
        depth += 1
    return depth


def _children(type_: pa.DataType) -> list[pa.Field]:
    return [type_.field(number) for number in range(type_.num_fields)]


@dataclass(frozen=True, kw_only=True)
class ManifestConfig:
    """Which columns of a manifest are taken for what, and how it is read."""

    video_root: str | None = None
    """Where a manifest's relative paths start; by default, the manifest's folder."""
    video_column: str | None = field(default=None, metadata=option(default_shown="video"))
    """The manifest's column of videos."""
    text_column: str | None = field(default=None, metadata=option(default_shown="text"))
    """The manifest's column of texts; a cell may hold a list of several."""
    encoding: str | None = None
    """How a manifest's text is encoded, such as cp1252; by default UTF-8, or as its first bytes
    say."""
    limits: ManifestLimits = field(default_factory=ManifestLimits)

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise InputError(
                    f"--encoding is {self.encoding!r}, which Python does not know; examples: "
                    "utf-8, cp1252, utf-16, latin-1, shift_jis"
                ) from None
        if self.video_column is not None and self.video_column == self.text_column:
            raise InputError(f"--video-column and --text-column are both {self.video_column!r}")
