"""Concepts of very many clips in a few bytes each: flat columns in place of Python lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CHUNK = 1 << 20
"""Entries that are worked on at once, so that nothing temporary has the size of the whole."""

Column = npt.NDArray[np.signedinteger]


@dataclass(frozen=True)
class ConceptLists:
    """The list of clip i is `ids[starts[i] : starts[i + 1]]`."""

    ids: Column
    starts: npt.NDArray[np.unsignedinteger]
    """[clips + 1]"""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> Column:
        return self.ids[self.starts[i] : self.starts[i + 1]]

    @classmethod
    def of(cls, lists: Iterable[Sequence[int]], num_concepts: int) -> ConceptLists:
        writer = ListsWriter(num_concepts)
        writer.add(list(lists))
        return writer.finish()

    def inverted(self, num_concepts: int) -> ConceptLists:
        """By concept: the clips that have it, in their order.

        A counting sort, a chunk of entries at a time, so that nothing temporary grows with them:

        1. Count each concept's clips; that says where its list starts in the result.
        2. Of the next chunk, sort the entries by concept, stably: clips stay in order.
        3. An entry's place is the first free one of its concept's list, plus its rank among the
           chunk's entries of that concept; its clip is the one whose range of `starts` holds it.
        4. Move the first free places on, and go back to 2.
        """
        sizes = np.zeros(num_concepts, np.int64)
        for chunk in _chunks(len(self.ids)):
            sizes += np.bincount(self.ids[chunk], minlength=num_concepts)
        starts = _starts(sizes)
        clips = np.empty(len(self.ids), _signed(len(self)))
        free = starts[:-1].astype(np.int64)
        for chunk in _chunks(len(self.ids)):
            part = self.ids[chunk]
            order = np.argsort(part, kind="stable")
            found, first, number = np.unique(part[order], return_index=True, return_counts=True)
            rank = np.arange(len(part)) - np.repeat(first, number)
            entries = np.arange(chunk.start, chunk.stop, dtype=self.starts.dtype)
            owners = np.searchsorted(self.starts, entries, side="right") - 1
            clips[np.repeat(free[found], number) + rank] = owners[order]
            free[found] += number
        return ConceptLists(clips, starts)


class ListsWriter:
    """Collects lists part by part; the parts are dissolved one by one at the end."""

    def __init__(self, num_concepts: int) -> None:
        self._dtype = _signed(num_concepts + 1)  # ids, and how many a list holds
        self._ids: list[Column] = []
        self._sizes: list[Column] = []

    def add(self, lists: Sequence[Sequence[int]]) -> None:
        self._ids.append(np.array([i for ids in lists for i in ids], self._dtype))
        self._sizes.append(np.array([len(ids) for ids in lists], self._dtype))

    def finish(self) -> ConceptLists:
        """All lists in order; the writer is empty afterwards."""
        sizes = _joined(self._sizes, self._dtype)
        return ConceptLists(_joined(self._ids, self._dtype), _starts(sizes))


def _joined(parts: list[npt.NDArray], dtype: npt.DTypeLike) -> npt.NDArray:
    """The parts as one array; each is let go as soon as it is copied."""
    joined = np.empty(sum(map(len, parts)), dtype)
    end = len(joined)
    while parts:
        part = parts.pop()
        joined[end - len(part) : end] = part
        end -= len(part)
    return joined


def _starts(sizes: npt.NDArray) -> npt.NDArray[np.unsignedinteger]:
    total = int(sizes.sum(dtype=np.int64))
    dtype = np.uint32 if total < 2**32 else np.uint64
    starts: npt.NDArray[np.unsignedinteger] = np.zeros(len(sizes) + 1, dtype)
    np.cumsum(sizes, dtype=dtype, out=starts[1:])
    return starts


def _chunks(length: int) -> Iterable[slice]:
    return (slice(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK))


def _signed(num_values: int) -> type[np.signedinteger]:
    """The smallest type for 0 … num_values - 1, and -1 for none."""
    fitting = (t for t in (np.int8, np.int16, np.int32) if num_values - 1 <= np.iinfo(t).max)
    return next(fitting, np.int64)
