"""Balance as arithmetic: counts per concept in, keep probabilities out; pure functions.

Head texts are kept with the probability of MetaCLIP's curation (p = min(1, t / count) per concept,
a text survives if any of its concepts keeps it), but seeded: every draw is a hash of its item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option

Counts = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

MIN_AUTO_CAP = 16.0
UNMATCHED = ("keep", "drop")


@dataclass(frozen=True, kw_only=True)
class BalanceConfig:
    """What is kept of the training texts."""

    cap: float | None = field(
        default=None, metadata=option(parse=lambda text: parse_cap(text), default_shown="auto")
    )
    """Thin concepts that have more texts than this number t. auto chooses it from the counts; none
    keeps everything."""
    unmatched: str = "keep"
    """What to do with texts that match no concept: keep or drop."""
    max_captions_per_clip: int | None = None
    """Captions per clip, at most; those with the rarest concepts stay."""
    max_same_text: int | None = None
    """Of near-identical texts of different clips, keep this many; by default they are only
    counted."""
    seed: int = 0
    """Decides every random draw: order, splits and topics."""

    def __post_init__(self) -> None:
        if self.cap is not None and not self.cap > 0:
            raise InputError(f"--cap is {self.cap}; a number above 0, `auto` or `none` is needed")
        check_choice("--unmatched", self.unmatched, UNMATCHED)
        for name in ("max_captions_per_clip", "max_same_text"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} is {limit}; at least 1 is needed")


def parse_cap(text: str) -> float | None:
    """Read `--cap`: `auto` (None), `none` (infinity) or a number.

    Raises:
        InputError: `text` is none of these.
    """
    if text == "auto":
        return None
    try:
        cap = float("inf" if text == "none" else text)
    except ValueError:
        cap = float("nan")
    if not cap > 0:
        raise InputError(f"--cap is {text!r}; a number above 0, `auto` or `none` is needed")
    return cap


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
