"""A csv file as an Arrow table, a block at a time; its columns' types are those of all rows."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.csv as pacsv

BLOCK_BYTES = 2 * 2**20
MOST_BLOCK_BYTES = 2**31 - 1
TOO_LONG = ("straddling object", "cannot infer number of columns")
"""What pyarrow says of a row, or of the first one, that does not fit into a block."""


def read_csv(
    opened: Callable[[], pa.NativeFile], texts: Collection[str], block_bytes: int = BLOCK_BYTES
) -> pa.Table:
    """The rows of a csv file with a header; empty fields are nulls.

    First every field is read as it stands, block after block; then each column that is not one
    of `texts` gets the first type that takes all its values, as pyarrow would infer it from the
    whole file. Read at once, that takes three times the file: its bytes, fields and columns.

    Args:
        opened: opens the file, for each time that it is read.
        texts: columns that are strings whatever they hold.

    Raises:
        pa.ArrowInvalid: not a table, or one of `texts` is not UTF-8.
    """
    with opened() as stream:
        most_bytes = min(stream.size() + 1, MOST_BLOCK_BYTES)
    while True:
        try:
            names, columns = _as_it_stands(opened, texts, block_bytes)
            break
        except pa.ArrowInvalid as error:
            is_too_long = any(words in str(error) for words in TOO_LONG)
            if not is_too_long or block_bytes >= most_bytes:
                raise
            block_bytes = min(16 * block_bytes, most_bytes)
    for position, name in enumerate(names):
        if name not in texts:
            columns[position] = _inferred(columns[position], block_bytes)
    return pa.table(columns, names)


def _as_it_stands(
    opened: Callable[[], pa.NativeFile], texts: Collection[str], block_bytes: int
) -> tuple[list[str], list[pa.ChunkedArray]]:
    def reader(stream: pa.NativeFile, types: dict[str, pa.DataType]) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(block_size=block_bytes, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=_empty_is_null(types),
        )

    with opened() as stream:
        names = reader(stream, {}).schema.names
    types = {name: pa.string() if name in texts else pa.binary() for name in names}
    with opened() as stream:
        batches = list(reader(stream, types))
    return names, [
        pa.chunked_array([batch.column(position) for batch in batches], types[name])
        for position, name in enumerate(names)
    ]


def _inferred(fields: pa.ChunkedArray, block_bytes: int) -> pa.ChunkedArray:
    """A column of bytes, with the type that pyarrow infers for a csv file with such a column."""
    try:
        texts = fields.cast(pa.string())
    except pa.ArrowInvalid:
        return fields  # not UTF-8, and so nothing else either
    for part in (texts.slice(0, 1000), texts):
        column = _read_back(part, block_bytes)
        if column.type == pa.string():
            return texts  # the last resort: what holds for some rows holds for all
    return column


def _read_back(texts: pa.ChunkedArray, block_bytes: int) -> pa.ChunkedArray:
    if not texts:
        return pa.chunked_array([], pa.null())
    sink = pa.BufferOutputStream()
    options = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")
    pacsv.write_csv(pa.table([texts], ["column"]), sink, options)
    table = pacsv.read_csv(
        pa.BufferReader(sink.getvalue()),
        read_options=pacsv.ReadOptions(
            column_names=["column"],
            block_size=min(2 * block_bytes, MOST_BLOCK_BYTES),
            use_threads=False,
        ),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=_empty_is_null({}),
    )
    return table.column(0)


def _empty_is_null(types: dict[str, pa.DataType]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
