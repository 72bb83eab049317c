"""Digests of units of a clip list: of what its rows say, not of how Arrow holds them.

Every column is laid out as pieces: bytes, and where in them each row starts. A unit's digest is
the sha256 of the schema, the number of its rows, and its part of every piece in turn. A piece
says how long the next one is (null or not, then lengths, then content), so that different rows
never give the same bytes. What Arrow keeps behind a null does not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.inputs.table.columns import BLOCK_ROWS

NUM_DIGITS = 12

Piece = tuple[memoryview, np.ndarray]
"""Bytes, and the byte where each unit starts, with the end of the last."""


def unit_digests(clips: pa.Table, sizes: Sequence[int]) -> list[str]:
    """12 hex digits for each unit.

    Args:
        clips: a clip list (or any table), however it is chunked; metadata do not count.
        sizes: rows of the units, which follow each other and are all the rows.
    """
    assert sum(sizes) == clips.num_rows, f"{sum(sizes)} rows in units, {clips.num_rows} in all"
    fields = [[field.name, str(field.type)] for field in clips.schema]
    head = hashlib.sha256(json.dumps(fields).encode()).digest()
    digests: list[str] = []
    start = 0
    for block in _blocks(sizes):
        num_rows = sum(block)
        digests += _digests(clips.slice(start, num_rows), block, head)
        start += num_rows
    return digests


def _blocks(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Units of about as many rows as are laid out at once."""
    block: list[int] = []
    num_rows = 0
    for size in sizes:
        block.append(size)
        num_rows += size
        if num_rows >= BLOCK_ROWS:
            yield block
            block, num_rows = [], 0
    if block:
        yield block


def _digests(clips: pa.Table, sizes: list[int], head: bytes) -> Iterator[str]:
    bounds = np.cumsum([0, *sizes])
    pieces = [
        (content, starts.tolist())
        for column in clips.columns
        for content, starts in _pieces(_whole(column), bounds)
    ]
    for number, size in enumerate(sizes):
        digest = hashlib.sha256(head)
        digest.update(size.to_bytes(8, "little"))
        for content, starts in pieces:
            digest.update(content[starts[number] : starts[number + 1]])
        yield digest.hexdigest()[:NUM_DIGITS]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _pieces(array: pa.Array, bounds: np.ndarray) -> Iterator[Piece]:
    """The layout of an array; `bounds` are the elements where units start."""
    type_ = array.type
    is_valid = array.is_valid().to_numpy(zero_copy_only=False)
    yield _fixed(is_valid, bounds)
    if pa.types.is_null(type_):
        return
    if isinstance(array, pa.ExtensionArray):
        yield from _pieces(array.storage, bounds)
    elif pa.types.is_dictionary(type_):
        yield from _pieces(array.dictionary_decode(), bounds)
    elif pa.types.is_boolean(type_):
        yield _fixed(array.fill_null(False).to_numpy(zero_copy_only=False), bounds)
    elif _is_bytes(type_):
        yield from _texts(array, bounds)
    elif pa.types.is_struct(type_):
        for child in array.flatten():  # null where the struct is
            yield from _pieces(child, bounds)
    elif _is_list(type_):
        lengths = np.where(is_valid, pc.fill_null(pc.list_value_length(array), 0), 0)
        yield _fixed(lengths.astype("<i8"), bounds)
        yield from _pieces(array.flatten(), np.append(0, np.cumsum(lengths))[bounds])
    elif pa.types.is_primitive(type_) or pa.types.is_decimal(type_):
        yield _fixed(_values(array, is_valid), bounds)
    else:  # of a kind that manifests hardly ever hold
        texts = [repr(value).encode() for value in array.to_pylist()]
        yield from _texts(pa.array(texts, pa.binary()), bounds)


def _is_bytes(type_: pa.DataType) -> bool:
    checks = (pa.types.is_string, pa.types.is_binary)
    large = (pa.types.is_large_string, pa.types.is_large_binary)
    return any(check(type_) for check in (*checks, *large))


def _is_list(type_: pa.DataType) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(type_) for check in checks)


def _fixed(values: np.ndarray, bounds: np.ndarray) -> Piece:
    """Elements of one size: [N] or [N, bytes]."""
    values = np.ascontiguousarray(values)
    size = values.itemsize * (values.shape[1] if values.ndim > 1 else 1)
    return values.reshape(-1).view(np.uint8).data, bounds * size


def _values(array: pa.Array, is_valid: np.ndarray) -> np.ndarray:
    """uint8 [N, bytes of an element]: the values, zeros for nulls."""
    size = array.type.bit_width // 8
    content = array.buffers()[1]
    if content is None or not len(array):
        return np.zeros((len(array), size), np.uint8)
    values = np.frombuffer(content, np.uint8)[array.offset * size :][: len(array) * size]
    values = values.reshape(-1, size)
    return values if is_valid.all() else np.where(is_valid[:, None], values, np.uint8(0))


def _texts(array: pa.Array, bounds: np.ndarray) -> Iterator[Piece]:
    """Lengths and content of strings, large or not; nulls are empty."""
    if array.null_count:
        array = array.fill_null(pa.scalar(b"", pa.binary()).cast(array.type))
    _, ends, content = array.buffers()
    if not len(array):
        return
    kind = "<i8" if array.type in (pa.large_string(), pa.large_binary()) else "<i4"
    offsets = np.frombuffer(ends, kind)[array.offset :][: len(array) + 1].astype("<i8")
    yield _fixed(np.diff(offsets), bounds)
    yield memoryview(content or b""), offsets[bounds]
