"""A Parquet file as an Arrow table, a batch of rows at a time, within limits.

A few bytes of Parquet may stand for gigabytes: values that are repeated are stored once. So before
the texts of a row group are written out, the longest of those that are stored once is looked at,
and as many rows are read at a time as can do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mama_augment.inputs.table.columns import BLOCK_ROWS
from mama_augment.inputs.table.config import ManifestLimits, depth_of
from mama_augment.inputs.table.notes import Notes
from mama_augment.inputs.table.typed import longest, plain_type

BYTES = "BYTE_ARRAY"
PREFIXES = "DELTA_BYTE_ARRAY"
"""An encoding in which a text may be that of the row before and a few letters."""
BATCH_BYTES = 256 * 2**20
"""At most so much is written out at a time; a batch of usual rows takes a hundredth."""


def read_parquet(
    stream: pa.NativeFile, limits: ManifestLimits | None = None, notes: Notes | None = None
) -> pa.Table:
    """The rows of a file; columns have the types that the file says, but for views and run
    lengths, which become what they stand for.

    Raises:
        ValueError: beyond the limits. OSError, pa.ArrowException: not Parquet, or damaged.
    """
    limits, notes = limits or ManifestLimits(), notes or Notes()
    file_bytes = stream.size()
    metadata = pq.read_metadata(stream)
    limits.check_columns(metadata.num_columns)
    limits.check_rows(metadata.num_rows, metadata.num_columns, file_bytes)
    limits.check_bytes(8 * _num_values(metadata), file_bytes)
    with pq.ParquetFile(stream, pre_buffer=False) as file:
        said: pa.Schema = file.schema_arrow
        for field in said:
            limits.check_nesting(field.name, depth_of(field.type))
        wanted = pa.schema([field.with_type(plain_type(field.type)) for field in said])
        batches: list[pa.RecordBatch] = []
        num_rows = num_bytes = 0
        for batch in _batches(file, _coded(stream, metadata), limits):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                place, size = longest(column)
                limits.check_cell(name, num_rows + place + 1, size)
                num_bytes += written_bytes(column)
            limits.check_bytes(num_bytes, file_bytes)
            batches.append(_written(batch, wanted, num_rows, notes))
            num_rows += batch.num_rows
            limits.check_rows(num_rows, metadata.num_columns, file_bytes)
    return pa.Table.from_batches(batches, wanted)


def _coded(stream: pa.NativeFile, metadata: pq.FileMetaData) -> pq.ParquetFile:
    """The file, each different text once. What was read of a row group stays in memory."""
    columns = (metadata.schema.column(number) for number in range(metadata.num_columns))
    texts = [column.path for column in columns if column.physical_type == BYTES]
    return pq.ParquetFile(stream, pre_buffer=False, read_dictionary=texts)


def _batches(
    file: pq.ParquetFile, coded: pq.ParquetFile, limits: ManifestLimits
) -> Iterator[pa.RecordBatch]:
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        first = next(coded.iter_batches(1, row_groups=[number], use_threads=False), None)
        if first is None:
            continue
        most = max([1, *(_longest_inside(column) for column in first.columns)])
        chunks = [group.column(place) for place in range(group.num_columns)]
        num_rows = min(BLOCK_ROWS, max(1, BATCH_BYTES // most))
        if any(PREFIXES in chunk.encodings for chunk in chunks):
            num_rows = min(num_rows, max(1, BATCH_BYTES // limits.cell_bytes))
        # A row may hold any number of texts: these stay as they are stored until they are counted.
        is_long = any(
            chunk.num_values > group.num_rows and chunk.num_values * most > BATCH_BYTES
            for chunk in chunks
        )
        source = coded if is_long else file
        yield from source.iter_batches(num_rows, row_groups=[number], use_threads=False)


def _longest_inside(column: pa.Array) -> int:
    """Bytes of the longest text that is stored once, anywhere in a column."""
    if isinstance(column, pa.ExtensionArray):
        return _longest_inside(column.storage)
    if isinstance(column, pa.DictionaryArray):
        return int(_lengths(column.dictionary).max(initial=0))
    if pa.types.is_struct(column.type):
        return max([0, *(_longest_inside(column.field(n)) for n in range(column.type.num_fields))])
    if pa.types.is_map(column.type):
        return max(_longest_inside(column.keys), _longest_inside(column.items))
    return _longest_inside(column.values) if hasattr(column, "values") else 0


def _num_values(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(group.column(n).num_values for group in groups for n in range(group.num_columns))


def _written(
    batch: pa.RecordBatch, schema: pa.Schema, num_before: int, notes: Notes
) -> pa.RecordBatch:
    """A batch with every text written out, and what is not UTF-8 in it replaced and counted."""
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        if column.type != field.type:
            column = _cast(column, field.type)
        columns.append(_valid(column, field.name, num_before, notes))
    return pa.record_batch(columns, schema=schema)


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if isinstance(type_, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type_, _cast(column.storage, type_.storage_type))
    if pa.types.is_list_view(column.type) or pa.types.is_large_list_view(column.type):
        # What pyarrow 26 makes of them lacks the last offset, which casting reads.
        return pa.array(column.to_pylist(), type_)
    return column.cast(type_)


def _valid(column: pa.Array, name: str, num_before: int, notes: Notes) -> pa.Array:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            last = num_before + len(column)
            raise ValueError(
                f"rows {num_before + 1} to {last}: column {name!r} is damaged: {error}"
            ) from error
        raw = _raw(column)
        texts = [value if value is None else value.decode(errors="replace") for value in raw]
        mended = pa.array(texts, column.type)
        notes.num_mended += sum(a != b for a, b in zip(raw, _raw(mended), strict=True))
        return mended
    return column


def _raw(column: pa.Array) -> list[bytes | None]:
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values


def written_bytes(column: pa.Array) -> int:
    """Bytes of an array once every value that is stored once is written out."""
    type_ = column.type
    if isinstance(column, pa.ExtensionArray):
        return written_bytes(column.storage)
    if pa.types.is_dictionary(type_):
        lengths = _lengths(column.dictionary)
        indices = column.indices.drop_null().to_numpy(zero_copy_only=False)
        return 8 * len(column) + int(lengths[indices].sum())
    if pa.types.is_struct(type_):
        return sum(written_bytes(child) for child in column.flatten())
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return 8 * len(column) + written_bytes(column.flatten())
    if pa.types.is_map(type_):
        return written_bytes(column.keys) + written_bytes(column.items)
    return int(column.nbytes)


def _lengths(values: pa.Array) -> np.ndarray:
    """int64: bytes of each value."""
    if values.type in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        lengths = pc.binary_length(values)
        return np.asarray(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)).astype(np.int64)
    return np.full(len(values), max(1, int(values.nbytes) // max(1, len(values))))
