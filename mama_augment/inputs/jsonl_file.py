"""A file of JSON objects, one a line, as an Arrow table; a block of lines at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pyarrow as pa

BLOCK_BYTES = 4 * 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Pieces = dict[str, list[pa.Array]]


def read_jsonl(stream: pa.NativeFile, block_bytes: int = BLOCK_BYTES) -> pa.Table:
    """One row per object, one column per name; null where an object lacks it.

    A column's type is the one that pyarrow infers from all its values. Only a newline ends a
    line: other separators may stand in a string.

    Raises:
        ValueError: a line is not a JSON object, or a column holds values of several types; the
            message names the line or the column.
    """
    pieces: Pieces = {}
    num_rows = num_lines = 0
    for content in _blocks(stream, block_bytes):
        num_rows += _add(pieces, num_rows, content, num_lines)
        num_lines += content.count(b"\n") + 1
    return pa.table({name: _joined(pieces.pop(name), name) for name in list(pieces)})


def _add(pieces: Pieces, num_rows: int, content: bytes, num_lines: int) -> int:
    """Add the rows of some lines to those before them; how many they are."""
    found = (_row(line, number) for number, line in enumerate(content.split(b"\n"), num_lines + 1))
    rows = [row for row in found if row is not None]
    for name in dict.fromkeys(name for row in rows for name in row):
        pieces.setdefault(name, [pa.nulls(num_rows)])
    for name, arrays in pieces.items():
        arrays.append(_array([row.get(name) for row in rows], name))
    return len(rows)


def _blocks(stream: pa.NativeFile, block_bytes: int) -> Iterator[bytes]:
    """Some lines at a time, without the last one's newline."""
    begun: list[bytes] = []
    while content := stream.read(block_bytes):
        whole, newline, rest = content.rpartition(b"\n")
        if newline:
            yield b"".join([*begun, whole])
            begun = []
        begun.append(rest)
    yield b"".join(begun)


def _row(line: bytes, number: int) -> dict[str, Any] | None:
    """What a line says; None for a line without content."""
    if number == 1:
        line = line.removeprefix(BYTE_ORDER_MARK)
    try:
        text = line.decode()
        row = json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number}: {error}") from error
    if row is not None and not isinstance(row, dict):
        raise ValueError(f"line {number} is not a JSON object")
    return row


def _array(values: list[Any], name: str, type_: pa.DataType | None = None) -> pa.Array:
    try:
        return pa.array(values, type_)
    except (pa.ArrowException, OverflowError) as error:
        raise ValueError(f"column {name!r}: {error}") from error


def _joined(arrays: list[pa.Array], name: str) -> pa.ChunkedArray:
    """Blocks of a column as one of the type that all its values have together."""
    type_ = reduce(lambda one, other: _common(one, other, name), (a.type for a in arrays))
    for position, array in enumerate(arrays):
        if array.type != type_:
            if pa.types.is_null(array.type):
                arrays[position] = pa.nulls(len(array), type_)
            else:
                # Rare, and this way an integer that no float holds is refused as in one block.
                arrays[position] = _array(array.to_pylist(), name, type_)
    return pa.chunked_array(arrays, type_)


def _common(one: pa.DataType, other: pa.DataType, name: str) -> pa.DataType:
    """The type of values of both types: integers may be floats, anything may be null."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if (one, other) == (pa.float64(), pa.bool_()):
        return one  # as pyarrow does, unless the truth value comes first
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(_common(one.value_type, other.value_type, name))
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        types = {field.name: field.type for field in one}
        for field in other:
            types[field.name] = _common(types.get(field.name, pa.null()), field.type, name)
        return pa.struct(list(types.items()))
    raise ValueError(f"column {name!r} holds values of several types: {one} and {other}")
