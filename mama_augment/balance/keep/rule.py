"""From the counts to every text's keep probability: the share, the knee, the curve; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.balance.keep.even import Floats, Texts, make_even, set_keys
from mama_augment.balance.keep.settings import MIN_AUTO_CAP, BalanceConfig
from mama_augment.balance.keep.union import auto_cap, concept_probabilities
from mama_augment.concepts.histogram import effective_number

STEP = 0.05
"""Between the shares of a curve."""
LEAST_GAIN = 0.02
"""Of the effective number: where even the lowest share gains less, everything is kept."""
BISECTIONS = 40


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a share brings."""

    share: float
    """Of the training texts with a concept, expected to be kept."""
    effective_number: float
    tail_share: float
    """Of visits, for the rarest fifth of the concepts (by the texts there are)."""
    union_effective_number: float
    """By the union rule, with the cap that keeps the same share."""

    def to_json(self) -> dict[str, float]:
        return {name: round(value, 6) for name, value in vars(self).items()}


@dataclass(frozen=True, kw_only=True)
class KeepRule:
    """The keep probability of every set of concepts; 1 for texts without any."""

    texts: Texts
    keep: Floats
    """[sets]"""
    cap: float
    """Infinite: none."""
    curve: tuple[Point, ...] = ()
    is_chosen: bool = False
    """The share is where the curve bends; nobody asked for it."""
    gap: float = 0.0

    def of(self, lists: Sequence[Sequence[int]]) -> Floats:
        """[texts], for their lists of concepts."""
        found = np.ones(len(lists))
        matched = [i for i, ids in enumerate(lists) if ids]
        if matched:
            at = np.searchsorted(self.texts.keys, set_keys([lists[i] for i in matched]))
            found[matched] = self.keep[at]
        return found

    @property
    def share(self) -> float:
        """Of the texts with a concept, expected to be kept."""
        total = self.texts.total
        return float(self.texts.num_texts @ self.keep) / total if total else 1.0

    def to_json(self, config: BalanceConfig) -> dict[str, Any]:
        return {
            "rule": config.rule,
            "target": "capped" if _is_capped(config) else config.target,
            "as": config.way,
            "share": self.share,
            "is_chosen": self.is_chosen,
            "gap": self.gap,
            "curve": [point.to_json() for point in self.curve],
        }


def choose_rule(texts: Texts, config: BalanceConfig) -> KeepRule:
    """Solve for every text's keep probability (see the options of BalanceConfig)."""
    ones = np.ones(len(texts.keys))
    everything = KeepRule(texts=texts, keep=ones, cap=float("inf"))
    if not len(texts.keys) or (config.cap is not None and np.isinf(config.cap)):
        return everything
    counts = texts.visits(ones)
    if config.rule == "union":
        if config.keep_share is not None:
            cap = cap_for_share(texts, counts, config.keep_share)
        else:
            cap = config.cap or auto_cap(counts.astype(np.int64))
        return KeepRule(texts=texts, keep=union_keep(texts, counts, cap), cap=cap)
    low = np.full(len(ones), config.min_keep)
    target = target_of(counts, config)
    share = config.keep_share
    if share is None and config.cap is not None:
        share = float(np.minimum(counts, config.cap).sum() / counts.sum())
    if share is not None:
        found = make_even(texts, share, target, low)
        cap = config.cap or float("inf")
        return KeepRule(texts=texts, keep=found.keep, cap=cap, gap=found.gap)
    # Nobody asked for it: what is rare anyway stays as it is.
    low[texts.rarest(counts) <= MIN_AUTO_CAP] = 1.0
    curve = curve_of(texts, target, low, config.keep_at_least)
    share = knee(curve)
    if share >= 1.0:
        return KeepRule(texts=texts, keep=ones, cap=float("inf"), curve=curve, is_chosen=True)
    found = make_even(texts, share, target, low)
    return KeepRule(
        texts=texts, keep=found.keep, cap=float("inf"), curve=curve, is_chosen=True, gap=found.gap
    )


def target_of(counts: Floats, config: BalanceConfig) -> Floats:
    """[concepts], what visits should be in proportion to."""
    if _is_capped(config):
        assert config.cap is not None
        return np.minimum(counts, config.cap)
    return np.sqrt(counts) if config.target == "sqrt" else np.ones(len(counts))


def _is_capped(config: BalanceConfig) -> bool:
    is_number = config.cap is not None and bool(np.isfinite(config.cap))
    return config.rule == "even" and is_number and config.target in ("uniform", "capped")


def union_keep(texts: Texts, counts: Floats, cap: float) -> Floats:
    """[sets], 1 − Π (1 − p_c) with p_c = min(1, cap / n_c)."""
    return 1.0 - texts.lost(concept_probabilities(counts.astype(np.int64), cap))


def cap_for_share(texts: Texts, counts: Floats, share: float) -> float:
    """The least cap by which the union rule keeps at least this share of the texts."""
    low, high = 0.0, float(counts.max())
    for _ in range(BISECTIONS):
        cap = (low + high) / 2
        kept = float(texts.num_texts @ union_keep(texts, counts, cap)) / texts.total
        low, high = (low, cap) if kept >= share else (cap, high)
    return high


def curve_of(texts: Texts, target: Floats, low: Floats, least: float) -> tuple[Point, ...]:
    """Points from keeping all down to `least`."""
    counts = texts.visits(np.ones(len(texts.keys)))
    rare = rarest_fifth(counts)
    num_steps = max(1, round((1 - least) / STEP))
    points: list[Point] = []
    for share in np.linspace(1.0, least, num_steps + 1):
        found = make_even(texts, float(share), target, low)
        kept = float(texts.num_texts @ found.keep) / texts.total
        if points and points[-1].share - kept < STEP / 10:
            break  # nothing more may be dropped
        union = union_keep(texts, counts, cap_for_share(texts, counts, kept))
        points.append(
            Point(
                share=kept,
                effective_number=effective_number(found.visits),
                tail_share=float(found.visits[rare].sum() / found.visits.sum()),
                union_effective_number=effective_number(texts.visits(union)),
            )
        )
    return tuple(points)


def whole_curve(texts: Texts, config: BalanceConfig) -> tuple[Point, ...]:
    """The curve beside a rule that was asked for."""
    if not len(texts.keys):
        return ()
    counts = texts.visits(np.ones(len(texts.keys)))
    low = np.full(len(texts.keys), config.min_keep)
    return curve_of(texts, target_of(counts, config), low, config.keep_at_least)


def rarest_fifth(counts: Floats) -> npt.NDArray[np.int64]:
    """Ids of the rarest fifth of the concepts that any text has."""
    present = np.flatnonzero(counts > 0)
    order = present[np.argsort(counts[present], kind="stable")]
    return order[: max(1, len(order) // 5)]


def knee(curve: Sequence[Point]) -> float:
    """The share where the curve bends: where the logarithm of the effective number is highest
    above the straight line between its ends. 1 where the whole curve gains next to nothing."""
    first, last = curve[0], curve[-1]
    if last.effective_number < first.effective_number * (1 + LEAST_GAIN):
        return 1.0
    rise = np.log(last.effective_number / first.effective_number)
    above = [
        np.log(point.effective_number / first.effective_number) / rise
        - (first.share - point.share) / (first.share - last.share)
        for point in curve
    ]
    return curve[int(np.argmax(above))].share if max(above) > 0 else last.share
