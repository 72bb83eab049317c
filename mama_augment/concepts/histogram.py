"""How uneven a concept histogram is; pure functions over counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The numbers that describe a histogram of visits over concepts."""

    num_concepts: int
    num_empty: int
    effective_number: float
    """exp(H): how many equally frequent concepts would have the same entropy."""
    gini: float
    """0 when all concepts are equally frequent, towards 1 when one has everything."""
    head_tail_ratio: float | None
    """Mean count of the most frequent fifth over that of the rarest fifth; None if that is 0."""


def spread(counts: Sequence[int] | Counts, among: npt.NDArray[np.bool_] | None = None) -> Spread:
    """Describe visit counts per concept; concepts without any visit count as rare ones.

    Args:
        counts: [concepts], visits.
        among: [concepts], those to look at, such as those that any text is about; all by default.
    """
    values = np.asarray(counts, np.float64)
    ascending = np.sort(values if among is None else values[among])
    num_fifth = max(1, len(ascending) // 5)
    tail, head = ascending[:num_fifth], ascending[-num_fifth:]
    has_tail = len(ascending) > 0 and tail.mean() > 0
    return Spread(
        num_concepts=len(ascending),
        num_empty=int((ascending == 0).sum()),
        effective_number=effective_number(ascending),
        gini=gini(ascending),
        head_tail_ratio=float(head.mean() / tail.mean()) if has_tail else None,
    )


def effective_number(counts: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """exp(H) with H the entropy of the shares, in nats; 0.0 for an empty histogram."""
    values = np.asarray(counts, np.float64)
    total = values.sum()
    if total <= 0:
        return 0.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def gini(counts: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Mean absolute difference of two concepts' counts, over twice their mean; 0.0 if empty.

    counts: [concepts], in any order. With them ascending, x_1 … x_n, the double sum over pairs is
    Σ_i (2 i − n − 1) x_i / (n Σ_i x_i).
    """
    ascending = np.sort(np.asarray(counts, np.float64))
    total = ascending.sum()
    if total <= 0:
        return 0.0
    n = len(ascending)
    ranks = np.arange(1, n + 1)
    return float((2 * ranks - n - 1) @ ascending / (n * total))
