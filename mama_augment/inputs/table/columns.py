"""Arrow columns by row number, block by block: no copy of a whole column beside the column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLOCK_ROWS = 16_384
"""Rows that are copied, compared or seen as Python values at once."""


def blocks(num_rows: int) -> Iterator[slice]:
    """Consecutive slices over `num_rows` rows, of BLOCK_ROWS each."""
    for start in range(0, num_rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, num_rows))


class Gather:
    """Takes rows of a column, in any order. A row of -1 gives a null.

    pyarrow's own `take` joins the chunks of a column first, which doubles it, and fails where
    its strings pass 2 GiB.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        if pa.types.is_dictionary(column.type):
            column = column.unify_dictionaries()
        self._type = column.type
        self._chunks = [chunk for chunk in column.chunks if len(chunk)]
        lengths = [len(chunk) for chunk in self._chunks]
        self._starts = np.cumsum([0, *lengths])[:-1]

    def block(self, rows: np.ndarray) -> pa.Array:
        """The values of some rows (int64), as one array; for a block of them."""
        if not len(rows):
            return pa.nulls(0, self._type)
        chunk_of = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(chunk_of, kind="stable")
        numbers, firsts = np.unique(chunk_of[order], return_index=True)
        if len(numbers) == 1 and numbers[0] >= 0:
            return self._take(numbers[0], rows)
        parts = [
            self._take(number, rows[positions])
            for number, positions in zip(numbers, np.split(order, firsts[1:]), strict=True)
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(parts).take(pa.array(back))

    def _take(self, number: int, rows: np.ndarray) -> pa.Array:
        if number < 0:
            return pa.nulls(len(rows), self._type)
        return self._chunks[number].take(pa.array(rows - self._starts[number]))


def gather(column: pa.ChunkedArray, rows: np.ndarray) -> pa.ChunkedArray:
    """The values of `rows` (int64; -1 gives a null), a chunk for each block."""
    source = Gather(column)
    return pa.chunked_array([source.block(rows[b]) for b in blocks(len(rows))], column.type)


def numbers_of(column: pa.ChunkedArray, null: float | bool) -> np.ndarray:
    """A column of numbers or truth values for numpy, with `null` in the place of nulls."""
    return np.asarray(column.fill_null(null).to_numpy())


def numbered(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.ChunkedArray]:
    """Each string's number among the different ones, in their order; and
    those. Sorting takes an eighth of the memory of a hash table."""
    number = places(column)
    first = np.empty(number.max(initial=-1) + 1, np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    return number, gather(column, first)


def places(column: pa.ChunkedArray) -> np.ndarray:
    """int32: where each string stands among the different ones, in Python's order of strings."""
    # By UTF-8 bytes, which is the same as by code points.
    place = pc.rank(column, "ascending", tiebreaker="dense").to_numpy()
    return np.subtract(place, 1, dtype=np.int32, casting="unsafe")


def give_back() -> None:
    """Give memory that Arrow has done with back to the system: it keeps it for later otherwise."""
    pa.default_memory_pool().release_unused()
