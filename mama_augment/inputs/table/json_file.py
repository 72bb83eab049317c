"""A file of JSON objects as an Arrow table, a block at a time: one a line, or all in a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from mama_augment.inputs.table.columns import BLOCK_ROWS
from mama_augment.inputs.table.config import ManifestLimits, depth_of
from mama_augment.inputs.table.json_objects import Objects, lines, objects
from mama_augment.inputs.table.notes import Notes
from mama_augment.inputs.table.source import Source
from mama_augment.inputs.table.typed import longest

BLOCK_BYTES = 4 * 2**20
WHOLE_NUMBER = pa.decimal128(38, 0)
"""For whole numbers that 64 bits do not hold, such as ids of 20 digits."""

Pieces = dict[str, list[pa.Array]]


def read_jsonl(
    source: Source,
    limits: ManifestLimits | None = None,
    notes: Notes | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> pa.Table:
    """One row per object, one column per name; null where an object lacks it.

    A column's type is the one that pyarrow infers from all its values; a truth value is no number.
    Only a newline ends a line: other separators may stand in a string.

    Raises:
        ValueError: a line is not a JSON object, a column holds values of several types, or the
            table is beyond the limits; the message names the line or the column.
    """
    limits, notes = limits or ManifestLimits(), notes or Notes()
    with source.text() as stream:
        return _read(lines(stream, limits, notes, block_bytes), source, limits)


def read_json(
    source: Source,
    limits: ManifestLimits | None = None,
    notes: Notes | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> pa.Table:
    """The same for one list of objects, or objects one after the other.

    Raises:
        ValueError: see `read_jsonl`; the message names the object.
    """
    limits, notes = limits or ManifestLimits(), notes or Notes()
    with source.text() as stream:
        return _read(objects(stream, limits, notes, block_bytes), source, limits)


def _read(blocks: Iterator[Objects], source: Source, limits: ManifestLimits) -> pa.Table:
    pieces: Pieces = {}
    num_rows = 0
    for rows in blocks:
        for start in range(0, len(rows), BLOCK_ROWS):
            part = rows[start : start + BLOCK_ROWS]
            _add(pieces, num_rows, part, limits)
            num_rows += len(part)
            limits.check_rows(num_rows, len(pieces), source.num_bytes)
    return pa.table({name: _joined(pieces.pop(name), name) for name in list(pieces)})


def _add(pieces: Pieces, num_before: int, rows: Objects, limits: ManifestLimits) -> None:
    """Add rows to those before them."""
    for name in dict.fromkeys(name for row in rows for name in row):
        pieces.setdefault(name, [pa.nulls(num_before)])
    limits.check_columns(len(pieces))
    for name, arrays in pieces.items():
        array = _array([row.get(name) for row in rows], name)
        limits.check_nesting(name, depth_of(array.type))
        place, num_bytes = longest(array)
        limits.check_cell(name, num_before + place + 1, num_bytes)
        arrays.append(array)


def _array(values: list[Any], name: str, type_: pa.DataType | None = None) -> pa.Array:
    try:
        array = pa.array(values, type_)
    except OverflowError as error:
        if any(value is not None and type(value) is not int for value in values):
            raise ValueError(f"column {name!r}: {error}") from error
        return _array([v if v is None else Decimal(v) for v in values], name, WHOLE_NUMBER)
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r}: {error}") from error
    if _holds(array.type, pt.is_floating) and _mixes(values):
        # pyarrow takes true for 1.0, unless it comes first.
        raise ValueError(f"column {name!r} holds values of several types: double and bool")
    return array


def _holds(type_: pa.DataType, check: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type, or one inside it, is of a kind."""
    fields = (type_.field(number) for number in range(type_.num_fields))
    return check(type_) or any(_holds(field.type, check) for field in fields)


def _mixes(values: list[Any]) -> bool:
    """Whether numbers and truth values stand at the same place of a column."""
    plain = [value for value in values if value is not None]
    if any(isinstance(value, bool) for value in plain):
        return any(not isinstance(value, bool) for value in plain)
    if plain and isinstance(plain[0], list):
        return _mixes([element for value in plain for element in value])
    if plain and isinstance(plain[0], dict):
        names = {name for value in plain for name in value}
        return any(_mixes([value.get(name) for value in plain]) for name in names)
    return False


def _joined(arrays: list[pa.Array], name: str) -> pa.ChunkedArray:
    """Blocks of a column as one of the type that all its values have together."""
    type_ = reduce(lambda one, other: _common(one, other, name), (a.type for a in arrays))
    is_hollow = _holds(type_, lambda t: pt.is_struct(t) and not t.num_fields)
    for position, array in enumerate(arrays):
        if is_hollow:
            arrays[position] = pa.array(_filled(array.to_pylist()), _filled_type(type_))
        elif array.type != type_:
            arrays[position] = _as(array, type_, name)
    return pa.chunked_array(arrays, _filled_type(type_) if is_hollow else type_)


def _as(array: pa.Array, type_: pa.DataType, name: str) -> pa.Array:
    if pt.is_null(array.type):
        return pa.nulls(len(array), type_)
    values = array.to_pylist()
    if type_ == WHOLE_NUMBER:
        values = [v if v is None else Decimal(v) for v in values]
    # Rare, and this way an integer that no float holds is refused as in one block.
    return _array(values, name, type_)


def _filled(value: Any) -> Any:
    """Empty objects, which Parquet cannot hold where all are empty, become nulls."""
    if isinstance(value, list):
        return [_filled(element) for element in value]
    if isinstance(value, dict):
        return {name: _filled(element) for name, element in value.items()} or None
    return value


def _filled_type(type_: pa.DataType) -> pa.DataType:
    if pt.is_struct(type_):
        fields = [pa.field(field.name, _filled_type(field.type)) for field in type_]
        return pa.struct(fields) if fields else pa.null()
    return pa.list_(_filled_type(type_.value_type)) if pt.is_list(type_) else type_


def _common(one: pa.DataType, other: pa.DataType, name: str) -> pa.DataType:
    """The type of values of both types: integers may be floats, anything may be null."""
    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if {one, other} == {pa.int64(), WHOLE_NUMBER}:
        return WHOLE_NUMBER
    if pt.is_list(one) and pt.is_list(other):
        return pa.list_(_common(one.value_type, other.value_type, name))
    if pt.is_struct(one) and pt.is_struct(other):
        types = {field.name: field.type for field in one}
        for field in other:
            types[field.name] = _common(types.get(field.name, pa.null()), field.type, name)
        return pa.struct(list(types.items()))
    raise ValueError(f"column {name!r} holds values of several types: {one} and {other}")
