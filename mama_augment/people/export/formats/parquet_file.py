"""One Parquet file, a row per text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.people.export.formats.base import Add, Example, Format, Target

ROWS_AT_ONCE = 20_000


@contextmanager
def write_parquet(target: Target) -> Iterator[Add]:
    """Memory holds `ROWS_AT_ONCE` rows."""
    rows: list[dict[str, Any]] = []
    with (
        target.file(target.name) as path,
        pq.ParquetWriter(path, target.schema, compression="zstd") as writer,
    ):

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, target.schema))
            rows.clear()

        def add(example: Example) -> None:
            rows.extend(example.rows())
            if len(rows) >= ROWS_AT_ONCE:
                flush()

        yield add
        if rows:
            flush()


PARQUET = Format(
    help="one file, a row per text",
    is_folder=False,
    media=("none",),
    writer=write_parquet,
)
