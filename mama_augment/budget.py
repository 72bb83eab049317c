"""Spend a budget of captions where concepts are rare: water-filling over concepts; pure.

MetaCLIP's balancing only drops; a captioner can also add. Each caption of the budget goes to the
concept that is furthest below the target's shape, and there to the clip with the fewest captions.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mama_augment.schema import InputError

TARGETS = ("uniform", "sqrt", "capped")
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How many captions there are to spend, and what the histogram should look like."""

    num_captions: int
    target: str = "uniform"
    """`uniform`: every concept rises to one level. `sqrt`: visits in proportion to the square root
    of what there is. `capped`: as uniform, but no concept is raised above `cap`."""
    cap: float | None = None
    max_per_clip: int = 4
    """More captions of one clip say less and less that is new."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_captions < 1:
            raise InputError(f"--budget is {self.num_captions}; at least 1 caption is needed")
        if self.target not in TARGETS:
            raise InputError(f"--target is {self.target!r}; allowed: {', '.join(TARGETS)}")
        if (self.cap is not None) != (self.target == "capped"):
            raise InputError(
                f"--cap is {self.cap} with --target {self.target}; `capped` needs a --cap, the "
                "other targets take none"
            )
        if self.cap is not None and not self.cap > 0:
            raise InputError(f"--cap is {self.cap}; a number of visits above 0 is needed")
        if self.max_per_clip < 1:
            raise InputError(f"--max-per-clip is {self.max_per_clip}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True)
class Spending:
    """The outcome: how many captions each clip gets, and for the sake of which concept."""

    num_captions: npt.NDArray[np.int32]
    """[clips]"""
    concept_id: npt.NDArray[np.int32]
    """[clips], the concept that asked for the clip's first caption; -1 for none."""
    counts_after: Counts
    """[concepts], visits to expect: those there are and the new ones."""
    num_unspent: int


def spend(
    clip_concepts: Sequence[Sequence[int]],
    counts: Sequence[int] | Counts,
    config: BudgetConfig,
) -> Spending:
    """Allot captions to clips, one at a time, to the concept that is lowest in its target's units.

    A new caption is expected to visit all the concepts of its clip. Clips without a known concept
    get what no concept has use for. The outcome depends on the order of `clip_concepts` only
    within one concept, where earlier clips are served first: hand them over shuffled.

    Args:
        clip_concepts: the concepts of each clip that may be captioned.
        counts: visits that each concept has already, in texts that are there.
    """
    after = np.asarray(counts, np.int64).copy()
    weights = np.sqrt(np.maximum(after, 1)) if config.target == "sqrt" else np.ones(len(after))
    given = np.zeros(len(clip_concepts), np.int32)
    why = np.full(len(clip_concepts), -1, np.int32)
    queues: dict[int, list[tuple[int, int]]] = {}
    for clip, concepts in enumerate(clip_concepts):
        # Filled in clip order with equal keys: a list that is a heap already.
        for concept in concepts:
            queues.setdefault(concept, []).append((0, clip))
    levels = [(after[c] / weights[c], c) for c in queues]
    heapq.heapify(levels)
    left = config.num_captions
    while left and levels:
        level, concept = heapq.heappop(levels)
        now = after[concept] / weights[concept]
        if now > level:  # raised meanwhile by captions made for another concept
            heapq.heappush(levels, (now, concept))
            continue
        if config.cap is not None and now >= config.cap:
            break
        served = _next_clip(queues[concept], given, config.max_per_clip)
        if served is None:
            continue
        if not given[served]:
            why[served] = concept
        given[served] += 1
        left -= 1
        for other in clip_concepts[served]:
            after[other] += 1
        heapq.heappush(levels, (after[concept] / weights[concept], concept))
    if config.cap is None:
        left = _spend_on_unknown(clip_concepts, given, left, config.max_per_clip)
    return Spending(num_captions=given, concept_id=why, counts_after=after, num_unspent=left)


def _next_clip(
    queue: list[tuple[int, int]], given: npt.NDArray[np.int32], max_per_clip: int
) -> int | None:
    """The concept's clip with the fewest captions, the earlier one among equals."""
    while queue:
        number, clip = queue[0]
        if given[clip] >= max_per_clip:
            heapq.heappop(queue)
        elif given[clip] > number:
            heapq.heapreplace(queue, (int(given[clip]), clip))
        else:
            heapq.heapreplace(queue, (number + 1, clip))
            return clip
    return None


def _spend_on_unknown(
    clip_concepts: Sequence[Sequence[int]],
    given: npt.NDArray[np.int32],
    left: int,
    max_per_clip: int,
) -> int:
    unknown = np.array([i for i, c in enumerate(clip_concepts) if not c], np.int64)
    for _ in range(max_per_clip):
        served = unknown[: min(left, len(unknown))]
        given[served] += 1
        left -= len(served)
    return left


def main_concepts(concept_lists: Sequence[Sequence[int]]) -> list[int]:
    """What a clip is about, judged by all its texts: the concepts of at least half of them.

    Where no concept has a half, those that are named most often.
    """
    named = [concept for concepts in concept_lists for concept in concepts]
    if not named:
        return []
    number = {concept: named.count(concept) for concept in set(named)}
    needed = min(max(number.values()), len(concept_lists) / 2)
    return sorted(concept for concept, n in number.items() if n >= needed)
