"""Read an input manifest (csv, jsonl, parquet): one Arrow table with typed known columns."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

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

    Empty csv fields are nulls.

    Raises:
        InputError: the file cannot be read, has no `video` column or no rows, or a value of a
            known column has the wrong type.
    """
    where = f"{folder}/{name}"
    try:
        kind = name.lower()
        if kind.endswith(".csv"):
            table = _read_csv(folder.read_bytes(name))
        elif kind.endswith(".parquet"):
            with folder.open_input(name) as stream:
                table = pq.read_table(stream)
        else:
            table = _read_jsonl(folder.read_bytes(name))
    except (pa.ArrowException, UnicodeError, json.JSONDecodeError, TypeError) as error:
        raise InputError(f"{where}: cannot be read as a manifest: {error}") from error
    if "video" not in table.column_names:
        raise InputError(
            f"{where}: no column `video`; its columns are {', '.join(table.column_names) or 'none'}"
        )
    if not table.num_rows:
        raise InputError(f"{where}: the manifest has no rows")
    if len(set(table.column_names)) < table.num_columns:
        raise InputError(f"{where}: a column name is used twice: {', '.join(table.column_names)}")
    for position, column in enumerate(table.column_names):
        if column in KNOWN_COLUMNS:
            typed = _typed(table[column], column, where)
            table = table.set_column(position, column, typed)
    return table


def _read_csv(content: bytes) -> pa.Table:
    # One block, so that a column's type is inferred from all of it.
    return pacsv.read_csv(
        pa.BufferReader(content),
        read_options=pacsv.ReadOptions(block_size=len(content) + 1, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in KNOWN_COLUMNS},
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _read_jsonl(content: bytes) -> pa.Table:
    rows = []
    for number, line in enumerate(content.decode().splitlines(), start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError(f"line {number} is not a JSON object")
            rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


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
