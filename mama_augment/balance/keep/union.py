"""MetaCLIP's rule as arithmetic: counts per concept in, keep probabilities out; pure functions.

p_c = min(1, t / count) per concept, and a text survives if any of its concepts keeps it. Unlike
there, every draw is a hash of its item.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mama_augment.balance.keep.settings import MIN_AUTO_CAP

Counts = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def auto_cap(counts: Sequence[int] | Counts) -> float:
    """A cap between the middle and the head: t = √(median · max) of the counts above zero.

    On a log scale t lies halfway from the median concept to the largest one, so the ratio of head
    to median becomes its square root: 100 times as frequent ends at 10 times. Even counts give t =
    count, and nothing is dropped. Never below 16 texts, where dropping would save nothing.
    """
    present = np.asarray(counts, np.float64)
    present = present[present > 0]
    if not len(present):
        return MIN_AUTO_CAP
    return max(MIN_AUTO_CAP, float(np.sqrt(np.median(present) * present.max())))


def concept_probabilities(counts: Sequence[int] | Counts, cap: float) -> Probabilities:
    """p_c = min(1, t / count_c) for each concept; 1 where nothing was counted."""
    return np.minimum(1.0, cap / np.maximum(np.asarray(counts, np.float64), 1e-300))


def keep_probability(concept_ids: Sequence[int], probabilities: Probabilities) -> float:
    """1 − Π (1 − p_c) over a text's concepts; 1 for a text that matches none."""
    if not concept_ids:
        return 1.0
    if len(concept_ids) == 1:
        # Exactly p, which 1 − (1 − p) is not in floating point.
        return float(probabilities[concept_ids[0]])
    lost = 1.0
    for concept_id in concept_ids:
        lost *= 1.0 - float(probabilities[concept_id])
    return 1.0 - lost
