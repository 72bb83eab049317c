"""Read an input manifest (csv, jsonl, parquet): one Arrow table with typed known columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.inputs.columns import BLOCK_ROWS, give_back
from mama_augment.inputs.csv_file import read_csv
from mama_augment.inputs.jsonl_file import read_jsonl

KNOWN_COLUMNS = {
    "video": pa.string(),
    "clip_id": pa.string(),
    "start_seconds": pa.float64(),
    "end_seconds": pa.float64(),
    "text": pa.string(),
    "source": pa.string(),
    "trusted": pa.bool_(),
    "split": pa.string(),
}
MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
TRUE_WORDS, FALSE_WORDS = ("true", "1", "yes"), ("false", "0", "no", "")


def read_manifest(folder: Folder, name: str) -> pa.Table:
    """The manifest's rows; known columns have the types above, others keep their own.

    Empty csv fields are nulls. What is read is held as Arrow columns only, a block at a time
    before that.

    Raises:
        InputError: the file cannot be read, has no `video` column or no rows, or a value of a
            known column has the wrong type.
    """
    where = shown(f"{folder}/{name}")
    try:
        table = _read(folder, name)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise InputError(f"{where}: cannot be read as a manifest: {error}") from error
    if "video" not in table.column_names:
        raise InputError(
            f"{where}: no column `video`; its columns are {', '.join(table.column_names) or 'none'}"
        )
    if not table.num_rows:
        raise InputError(f"{where}: the manifest has no rows")
    if len(set(table.column_names)) < table.num_columns:
        raise InputError(f"{where}: a column name is used twice: {', '.join(table.column_names)}")
    columns = dict(zip(table.column_names, table.columns, strict=True))
    del table  # so that a column's first form goes when it has its type
    for column in KNOWN_COLUMNS:
        if column in columns:
            columns[column] = _typed(columns[column], column, where)
    give_back()
    return pa.table(columns)


def _read(folder: Folder, name: str) -> pa.Table:
    def opened() -> pa.NativeFile:
        return folder.open_input(name)

    if name.lower().endswith(".csv"):
        return read_csv(opened, KNOWN_COLUMNS)
    if name.lower().endswith(".parquet"):
        with opened() as stream:
            return read_parquet(stream)
    with opened() as stream:
        return read_jsonl(stream)


def read_parquet(stream: pa.NativeFile) -> pa.Table:
    """A Parquet file, decoded a batch of rows at a time."""
    with pq.ParquetFile(stream, pre_buffer=False) as file:
        batches = file.iter_batches(BLOCK_ROWS, use_threads=False)
        return pa.Table.from_batches(batches, file.schema_arrow)


def _typed(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    wanted = KNOWN_COLUMNS[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(wanted) and not pa.types.is_boolean(column.type):
        words = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
        known = pc.is_in(words, pa.array([*TRUE_WORDS, *FALSE_WORDS]))
        wrong = pc.index(pc.fill_null(known, True), False).as_py()
        if wrong >= 0:
            raise InputError(
                f"{where}, row {wrong + 1}: {name} is {column[wrong].as_py()!r}; "
                "allowed: true, false (or 1, 0, yes, no)"
            )
        return pc.is_in(words, pa.array(TRUE_WORDS))
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:
        for row, value in enumerate(column, start=1):
            try:
                value.cast(wanted)
            except pa.ArrowInvalid:
                raise InputError(
                    f"{where}, row {row}: {name} is {value.as_py()!r}; a {wanted} is needed"
                ) from None
        raise
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"{where}: column {name} has type {column.type}, not {wanted}") from error
