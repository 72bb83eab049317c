"""A csv or tsv file as an Arrow table of strings, a block at a time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as pacsv

from mama_augment.inputs.table.config import ManifestLimits
from mama_augment.inputs.table.source import NOT_UTF8, Source
from mama_augment.inputs.table.typed import longest

BLOCK_BYTES = 2 * 2**20
MOST_BLOCK_BYTES = 2**31 - 1
TOO_LONG = ("straddling object", "cannot infer number of columns")
"""What pyarrow says of a row, or of the first one, that does not fit into a block."""
DELIMITERS = (";", "\t")
"""What spreadsheets write in place of the comma, if the header has none."""


def read_csv(
    source: Source,
    limits: ManifestLimits | None = None,
    *,
    delimiter: str | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> pa.Table:
    """The rows of a file with a header. Every column is a string, as it stands: a csv file says of
    no column that it is numbers, and ids with leading zeros are none. Empty fields are nulls.

    delimiter: by default the comma, or what the header has instead.

    Raises:
        ValueError: not a table, not UTF-8, or beyond the limits; the message names the row.
    """
    limits = limits or ManifestLimits()
    delimiter = delimiter or _delimiter(source.first_line())
    most_bytes = min(4 * source.num_bytes + 1, MOST_BLOCK_BYTES)
    while True:
        try:
            return _read(source, limits, delimiter, block_bytes)
        except pa.ArrowInvalid as error:
            is_too_long = any(words in str(error) for words in TOO_LONG)
            if not is_too_long or block_bytes >= most_bytes:
                raise
            block_bytes = min(16 * block_bytes, most_bytes)


def _delimiter(header: str) -> str:
    if "," in header:
        return ","
    return next((mark for mark in DELIMITERS if mark in header), ",")


def _read(source: Source, limits: ManifestLimits, delimiter: str, block_bytes: int) -> pa.Table:
    limits.check_columns(source.first_line().count(delimiter) + 1)
    with source.text() as stream, _reader(stream, delimiter, block_bytes, []) as reader:
        names = reader.schema.names
    limits.check_columns(len(names))
    columns: list[list[pa.Array]] = [[] for _ in names]
    num_rows = 0
    with source.text() as stream, _reader(stream, delimiter, block_bytes, names) as reader:
        for batch in reader:
            for name, chunks, fields in zip(names, columns, batch.columns, strict=True):
                chunks.append(_text(fields, name, num_rows, limits))
            num_rows += batch.num_rows
            limits.check_rows(num_rows, len(names), source.num_bytes)
    return pa.table([pa.chunked_array(chunks, pa.string()) for chunks in columns], names)


def _reader(
    stream: pa.NativeFile, delimiter: str, block_bytes: int, names: list[str]
) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(block_size=block_bytes, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, delimiter=delimiter),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.binary()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _text(fields: pa.Array, name: str, num_before: int, limits: ManifestLimits) -> pa.Array:
    """Bytes of a block's column as strings."""
    place, num_bytes = longest(fields)
    limits.check_cell(name, num_before + place + 1, num_bytes)
    try:
        return fields.cast(pa.string())
    except pa.ArrowInvalid:
        values = fields.to_pylist()
        place = next(place for place, value in enumerate(values) if not _is_utf8(value))
        row = num_before + place + 1
        raise ValueError(f"row {row}: {name} is {values[place]!r}: {NOT_UTF8}") from None


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
