"""Spend a budget of captions where concepts are rare: water-filling over concepts; pure.

MetaCLIP's balancing only drops; a captioner can also add. Each caption of the budget goes to the
concept that is furthest below the target's shape, and there to the clip with the fewest captions.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mama_augment.concepts.lists import CHUNK, ConceptLists
from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option
from mama_augment.core.shared.flags import parse_flags

TARGETS = ("uniform", "sqrt", "capped")
FIRST_LOOK = 8
"""Clips of a queue that are looked at together, at first: often one of them is free."""
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How many captions there are to spend, and what the histogram should look like."""

    num_captions: int = field(metadata=option("--budget"))
    """Captions to spend."""
    target: str = "uniform"
    """What the histogram of concepts should look like. uniform: every concept rises to one level.
    sqrt: visits in proportion to the square root of what there is. capped: as uniform, but no
    concept is raised above --cap."""
    cap: float | None = None
    """With --target capped: raise no concept above this number of visits."""
    max_per_clip: int = 4
    """New captions per clip, at most; each further one says less that is new."""
    skip_flags: tuple[str, ...] | None = field(
        default=None, metadata=option(parse=parse_flags, default_shown="none")
    )
    """Plan no caption for clips with one of these flags, such as black,static,near_identical (it
    looks like an earlier clip)."""
    seed: int = 0
    """Decides every random draw: ties and topics."""

    def __post_init__(self) -> None:
        if self.num_captions < 1:
            raise InputError(f"--budget is {self.num_captions}; at least 1 caption is needed")
        check_choice("--target", self.target, TARGETS)
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

    num_captions: npt.NDArray[np.unsignedinteger]
    """[clips], of the smallest type that holds `max_per_clip`."""
    concept_id: npt.NDArray[np.signedinteger]
    """[clips], the concept that asked for the clip's first caption; -1 for none."""
    counts_after: Counts
    """[concepts], visits to expect: those there are and the new ones."""
    num_unspent: int


def spend(
    clip_concepts: ConceptLists | Sequence[Sequence[int]],
    counts: Sequence[int] | Counts,
    config: BudgetConfig,
) -> Spending:
    """Allot captions to clips, one at a time, to the concept that is lowest in its target's units.

    A new caption is expected to visit all the concepts of its clip. Clips without a known concept
    get what no concept has use for. The outcome depends on the order of `clip_concepts` only
    within one concept, where earlier clips are served first: hand them over shuffled.

    Memory: per clip what `max_per_clip` and a concept id need, 1 and 2 bytes as a rule, and per
    concept of a clip 4 more, besides `clip_concepts`.

    Args:
        clip_concepts: the concepts of each clip that may be captioned.
        counts: visits that each concept has already, in texts that are there.
    """
    after = np.asarray(counts, np.int64).copy()
    lists = (
        clip_concepts
        if isinstance(clip_concepts, ConceptLists)
        else ConceptLists.of(clip_concepts, len(after))
    )
    weights = np.sqrt(np.maximum(after, 1)) if config.target == "sqrt" else np.ones(len(after))
    given = np.zeros(len(lists), np.min_scalar_type(config.max_per_clip))
    why = np.full(len(lists), -1, lists.ids.dtype)
    queues = _Queues(lists.inverted(len(after)), given, config.max_per_clip)
    levels = [(after[c] / weights[c], c) for c in range(len(after)) if queues.has_clips(c)]
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
        served = queues.next_clip(concept)
        if served is None:
            continue
        if not given[served]:
            why[served] = concept
        given[served] += 1
        left -= 1
        after[lists[served]] += 1
        heapq.heappush(levels, (after[concept] / weights[concept], concept))
    if config.cap is None:
        left = _spend_on_unknown(lists, given, left, config.max_per_clip)
    return Spending(num_captions=given, concept_id=why, counts_after=after, num_unspent=left)


class _Queues:
    """Whom each concept serves next: the clip with the fewest captions, the earlier among equals.

    `given` only grows. So the fewest captions among a concept's clips only rise, and a clip that
    was passed over, having more, is of no interest before they do: one place and one level per
    concept say all.
    """

    def __init__(self, clips: ConceptLists, given: npt.NDArray, max_per_clip: int) -> None:
        self._clips, self._given, self._max_per_clip = clips, given, max_per_clip
        self._level = [0] * len(clips)
        self._place = [0] * len(clips)

    def has_clips(self, concept: int) -> bool:
        return len(self._clips[concept]) > 0

    def next_clip(self, concept: int) -> int | None:
        """None as soon as every clip of the concept has `max_per_clip`."""
        clips = self._clips[concept]
        while self._level[concept] < self._max_per_clip:
            start, size = self._place[concept], FIRST_LOOK
            while start < len(clips):
                part = clips[start : start + size]
                at = np.flatnonzero(self._given[part] == self._level[concept])
                if len(at):
                    self._place[concept] = start + int(at[0])
                    return int(part[at[0]])
                start, size = start + size, min(2 * size, CHUNK)
            self._place[concept] = 0
            self._level[concept] += 1
        return None


def _spend_on_unknown(
    lists: ConceptLists, given: npt.NDArray[np.unsignedinteger], left: int, max_per_clip: int
) -> int:
    """One caption after the other to all clips without a concept, in order; what is left then."""
    for _ in range(max_per_clip):
        for start in range(0, len(lists), CHUNK):
            starts = lists.starts[start : start + CHUNK + 1]
            served = start + np.flatnonzero(starts[1:] == starts[:-1])[:left]
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
