"""Frequent items of a stream in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class FrequentCounter:
    """Counts that keep the frequent items when there are too many to hold.

    Lossy counting: when more than `max_items` are held, the rarest are forgotten until half of
    them are left. Counts are exact as long as nothing was forgotten (`floor` is 0); afterwards an
    item's count is at most `floor` too low.
    """

    def __init__(self, max_items: int = 1_000_000) -> None:
        self.max_items = max_items
        self.floor = 0
        self._counts: Counter[str] = Counter()

    def update(self, items: Iterable[str]) -> None:
        self._counts.update(items)
        if len(self._counts) > self.max_items:
            self._forget()

    def _forget(self) -> None:
        kept = sorted(self._counts.items(), key=_order)[: self.max_items // 2]
        self.floor += kept[-1][1]
        self._counts = Counter(dict(kept))

    def most_common(self, num_items: int, min_count: int = 1) -> list[tuple[str, int]]:
        """The most frequent items, ties in alphabetical order."""
        frequent = [item for item in self._counts.items() if item[1] >= min_count]
        return sorted(frequent, key=_order)[:num_items]


def _order(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
