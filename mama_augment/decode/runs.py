"""Runs of packets to decode for a few frames: each needed group of pictures once, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Run:
    """Packets `first` to `last` (inclusive, decode order), fed to a fresh decoder."""

    first: int
    last: int


def needed_runs(
    pts: npt.NDArray[np.int64], is_key: npt.NDArray[np.bool_], wanted: Iterable[int]
) -> list[Run]:
    """The fewest packets that give the wanted frames: runs in ascending order, none overlapping.

    Args:
        pts: [packets], in decode order.
        is_key: [packets], whether decoding can start there.
        wanted: packet positions, in any order, repeats allowed.

    A frame needs its group from the key packet on, up to itself: references come first in decode
    order. A frame shown before the key frame that precedes it in decode order (a leading picture
    of an open group) needs the group before, too. Overlapping runs are merged.
    """
    keys = np.flatnonzero(is_key)
    runs: list[Run] = []
    for position in sorted(set(wanted)):
        before = int(np.searchsorted(keys, position, side="right")) - 1
        while before > 0 and pts[position] < pts[keys[before]]:
            before -= 1
        first = int(keys[before]) if before >= 0 else 0
        while runs and first <= runs[-1].last + 1:
            first = min(first, runs.pop().first)
        runs.append(Run(first=first, last=position))
    return runs
