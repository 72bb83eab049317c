"""The types of a manifest's columns: those that we read get ours, the others stay what they are."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from mama_augment.core.errors import InputError
from mama_augment.inputs.table.config import depth_of
from mama_augment.inputs.table.times import seconds_of

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
TEXTS = pa.list_(pa.string())
"""What `text` may be besides: several texts of one clip."""
TRUE_WORDS, FALSE_WORDS = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no", "")


def typed(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """A known column with its type.

    Raises:
        InputError: it holds a value that is not of that type; the message names its row.
    """
    wanted = KNOWN_COLUMNS[name]
    if pt.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if name == "trusted" and not pt.is_boolean(column.type):
        return _truth(column, name, where)
    if pt.is_floating(wanted):
        return seconds_of(column, name, where)
    if name == "text" and is_list(column.type):
        wanted = TEXTS
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"{where}: column {name} holds {column.type}, not {wanted}"
            + (f" or {TEXTS}" if name == "text" else "")
        ) from error


def is_list(type_: pa.DataType) -> bool:
    checks = (pt.is_list, pt.is_large_list, pt.is_fixed_size_list)
    return any(check(type_) for check in checks)


def _truth(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    try:
        words = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{where}: column {name} holds {column.type}, not bool") from error
    words = pc.if_else(pc.equal(words, "nan"), pa.scalar(None, pa.string()), words)
    known = pc.is_in(words, pa.array([*TRUE_WORDS, *FALSE_WORDS]))
    wrong = pc.index(pc.fill_null(pc.or_(known, pc.is_null(words)), True), False).as_py()
    if wrong >= 0:
        raise InputError(
            f"{where}, row {wrong + 1}: {name} is {column[wrong].as_py()!r}; "
            "allowed: true, false (or 1, 0, yes, no)"
        )
    return pc.is_in(words, pa.array(TRUE_WORDS))


def plain_type(type_: pa.DataType) -> pa.DataType:
    """What a type is when it is written out: no views and no run lengths, which few of Arrow's
    functions know."""
    if pt.is_string_view(type_):
        return pa.string()
    if pt.is_binary_view(type_):
        return pa.binary()
    if pt.is_run_end_encoded(type_):
        return plain_type(type_.value_type)
    if pt.is_dictionary(type_) and plain_type(type_.value_type) != type_.value_type:
        return plain_type(type_.value_type)
    if pt.is_list_view(type_):
        return pa.list_(_plain_field(type_.value_field))
    if pt.is_large_list_view(type_):
        return pa.large_list(_plain_field(type_.value_field))
    if pt.is_list(type_):
        return pa.list_(_plain_field(type_.value_field))
    if pt.is_large_list(type_):
        return pa.large_list(_plain_field(type_.value_field))
    if pt.is_fixed_size_list(type_):
        return pa.list_(_plain_field(type_.value_field), type_.list_size)
    if pt.is_struct(type_):
        return pa.struct([_plain_field(field) for field in type_])
    return type_


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def longest(column: pa.Array) -> tuple[int, int]:
    """Where the longest text or bytes of a column is, and its bytes; (0, 0) for other columns."""
    values = column.dictionary if isinstance(column, pa.DictionaryArray) else column
    if not len(values) or not _is_bytes(values.type):
        return 0, 0
    lengths = pc.fill_null(pc.binary_length(values), 0)
    most = pc.max(lengths).as_py() or 0
    place = pc.index(lengths, pa.scalar(most, lengths.type)).as_py()
    if isinstance(column, pa.DictionaryArray):
        place = pc.index(column.indices, pa.scalar(place, column.indices.type)).as_py()
        if place < 0:  # a value that no row of this batch has
            return 0, most
    return place, most


def _is_bytes(type_: pa.DataType) -> bool:
    large = (pt.is_large_string, pt.is_large_binary)
    return any(check(type_) for check in (pt.is_string, pt.is_binary, *large))


def check_writable(name: str, type_: pa.DataType) -> None:
    """
    Raises:
        ValueError: Parquet cannot hold a column of this type, or it cannot be read back.
    """
    if depth_of(type_) == 0 and not pt.is_interval(type_):
        return
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.table({"column": pa.nulls(1, type_)}), sink)
        pq.read_table(pa.BufferReader(sink.getvalue()))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"column {name!r} holds {type_}, which Parquet does not: {error}"
        ) from error
