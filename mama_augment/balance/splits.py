"""Which clips serve as meta, val and test: trusted, uniform over concepts, apart by video; pure."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mama_augment.balance.source.video_splits import VideoSizes
from mama_augment.balance.split_warnings import (
    costs_too_much,
    is_given,
    too_few_rows,
    why_not,
)
from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option
from mama_augment.core.schema import HELD_OUT

"""Splits that training must not see, the first to be filled first."""
STRATIFY = ("uniform", "proportional")
SPARE = 4
MIN_PER_CONCEPT = 64
AUTO_SHARE = 0.05
AUTO_MAX_ROWS = 1_000
MAX_TRAIN_COST = 0.2
"""Of the clips that could train, what splits of default size may take out of train together: their
rows, and all other clips of these rows' videos."""


@dataclass(frozen=True, kw_only=True)
class SplitSizes:
    """Rows of each drawn split, or below 1 a share of the candidates; None: 5 %, at most 1,000."""

    meta: float | None = field(default=None, metadata=option("--meta-size"))
    """Rows of the meta split or, below 1, a share of the trusted clips. By default 5 %, at most
    1,000."""
    val: float | None = field(default=None, metadata=option("--val-size"))
    """The same for the val split."""
    test: float | None = field(default=None, metadata=option("--test-size"))
    """The same for the test split."""
    stratify: str = "uniform"
    """Concepts in val and test: uniform, or proportional to the trusted clips. Meta is always
    uniform, because the weights of all other samples are learned from it."""

    def __post_init__(self) -> None:
        check_choice("--stratify", self.stratify, STRATIFY)
        for name in HELD_OUT:
            size = getattr(self, name)
            if size is None:
                continue
            if not (0 <= size < 1 or (size >= 1 and float(size).is_integer())):
                raise InputError(
                    f"--{name}-size is {size}; allowed: a number of rows, a share of the trusted "
                    "clips above 0 and below 1, or 0 for no split"
                )
            if not 0 < size < 1:
                object.__setattr__(self, name, int(size))  # 50.0 rows are the same config as 50

    def resolve(self, name: str, num_trusted: int) -> int:
        """Rows of the split when there are so many candidates; more of them, never fewer rows."""
        size = getattr(self, name)
        if size is None:
            return min(AUTO_MAX_ROWS, int(num_trusted * AUTO_SHARE))
        return round(num_trusted * size) if 0 < size < 1 else int(size)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A clip with a trusted text, of a video without any given split."""

    order: int
    """A seeded hash: candidates of one concept are taken in this order."""
    clip_id: str
    video: str
    concept_ids: tuple[int, ...]


@dataclass(slots=True)
class KeptRows:
    """Rows of a split that earlier shards have, and that nobody gives it now."""

    num_rows: int
    by_concept: list[int]

    @classmethod
    def none(cls, num_concepts: int) -> KeptRows:
        return cls(0, [0] * num_concepts)

    def add(self, concept_ids: Iterable[int]) -> None:
        self.num_rows += 1
        for concept_id in concept_ids:
            self.by_concept[concept_id] += 1


class CandidatePool:
    """The candidates that a draw can need, however many there are.

    Of each concept the lowest hashes are kept, a few times the rows of an even share, and over all
    concepts a few times the rows wanted. What is drawn does not depend on the order of `add`.
    """

    def __init__(self, sizes: SplitSizes, num_concepts: int, num_clips: int) -> None:
        # There are at most as many candidates as clips, which a share is of.
        num_rows = sum(
            AUTO_MAX_ROWS if getattr(sizes, name) is None else sizes.resolve(name, num_clips)
            for name in HELD_OUT
        )
        self._num_overall = SPARE * num_rows + MIN_PER_CONCEPT
        self._num_of_concept = SPARE * num_rows // max(1, num_concepts) + MIN_PER_CONCEPT
        self._heaps: dict[int, list[tuple[int, str, Candidate]]] = defaultdict(list)
        self.num_seen = 0
        """What a share is of: with those of kept splits, which are not drawn again."""

    def add(self, candidate: Candidate) -> None:
        self.num_seen += 1
        self._push(-1, candidate, self._num_overall)
        for concept_id in candidate.concept_ids:
            self._push(concept_id, candidate, self._num_of_concept)

    def _push(self, key: int, candidate: Candidate, most: int) -> None:
        # A heap of the lowest hashes has the highest of them on top, hence the minus.
        entry = (-candidate.order, candidate.clip_id, candidate)
        heap = self._heaps[key]
        if len(heap) < most:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            heapq.heapreplace(heap, entry)

    def candidates(self) -> list[Candidate]:
        kept = {c.clip_id: c for heap in self._heaps.values() for _, _, c in heap}
        return sorted(kept.values(), key=lambda c: (c.order, c.clip_id))


@dataclass(frozen=True, kw_only=True)
class DrawnSplits:
    """The outcome of a draw."""

    split_of_clip: Mapping[str, str]
    split_of_video: Mapping[str, str]
    """Every video that serves in a held-out split, drawn or given."""
    shares_videos: bool = False
    """Whether several clips that could train are of one video."""
    warnings: tuple[str, ...] = ()
    short_concepts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By split, the concepts that cannot be filled: fewer rows than an even share (at least one),
    and no candidate left."""


def draw_splits(
    pool: CandidatePool,
    sizes: SplitSizes,
    *,
    num_concepts: int,
    given_videos: Mapping[str, str],
    given_splits: Iterable[str] = (),
    kept: Mapping[str, KeptRows] | None = None,
    video_sizes: VideoSizes | None = None,
) -> DrawnSplits:
    """Draw the held-out splits that nobody gave, one after the other.

    Rows go to the concept with the fewest so far. Of its candidates, clips of a video that the
    split already uses come first (they could serve nowhere else), then the lowest hash. A split
    that cannot reach its size stays empty, with a warning. One with kept rows is topped up to its
    size, or stays as it is. A split of default size takes no more clips out of train than its part
    of `MAX_TRAIN_COST`, and may be smaller for it.

    Args:
        given_videos: videos that already serve in a held-out split; never drawn again.
        given_splits: splits that the input gave; they are not drawn.
        kept: rows of each split that earlier shards have.
        video_sizes: clips of each video that could train; without it, nothing is limited.
    """
    candidates = pool.candidates()
    split_of_video = dict(given_videos)
    split_of_clip: dict[str, str] = {}
    warnings: list[str] = []
    short: dict[str, tuple[int, ...]] = {}
    total = 0 if video_sizes is None else video_sizes.total
    num_default = sum(getattr(sizes, split) is None for split in HELD_OUT)
    max_cost = MAX_TRAIN_COST * total / max(1, num_default) if video_sizes else math.inf
    for split in HELD_OUT:
        if split in given_splits:
            if getattr(sizes, split) is not None:
                warnings.append(is_given(split, getattr(sizes, split)))
            continue
        there = (kept or {}).get(split) or KeptRows.none(num_concepts)
        size = sizes.resolve(split, pool.num_seen) - there.num_rows
        free = [c for c in candidates if c.video not in split_of_video]
        if size <= 0 or size > len(free):
            warnings += why_not(split, getattr(sizes, split), size, there.num_rows, len(free))
            continue
        uniform = split == "meta" or sizes.stratify == "uniform"
        room = _Room(video_sizes, max_cost if getattr(sizes, split) is None else math.inf)
        # In the order of a hash, any first `size` clips are a fair sample.
        in_order = (c for c in free if room.has(c.video))
        chosen = (
            _draw_one(free, size, there.by_concept, room)
            if uniform
            else list(itertools.islice(in_order, size))
        )
        if len(chosen) < size:
            warnings.append(costs_too_much(split, len(chosen), size))
        if not chosen:
            continue
        split_of_clip |= {c.clip_id: split for c in chosen}
        split_of_video |= {c.video: split for c in chosen}
        if uniform:
            short[split], num_without = _short_concepts(free, chosen, there)
            if num_without:
                num_rows = size + there.num_rows
                warnings.append(too_few_rows(split, num_rows, num_concepts, num_without))
    return DrawnSplits(
        split_of_clip=split_of_clip,
        split_of_video=split_of_video,
        shares_videos=video_sizes is not None and video_sizes.are_shared,
        warnings=tuple(warnings),
        short_concepts=short,
    )


class _Room:
    """What may still be taken out of train for a split."""

    def __init__(self, sizes: VideoSizes | None, left: float) -> None:
        self._sizes, self._left = sizes, left
        self._videos: set[str] = set()

    def has(self, video: str) -> bool:
        """Whether a row of this video may be drawn; if so, all its clips are counted."""
        if video in self._videos:
            return True
        cost = 0 if self._sizes is None else self._sizes.of([video])[0]
        if cost > self._left:
            return False
        self._videos.add(video)
        self._left -= cost
        return True


def _draw_one(
    free: Sequence[Candidate], size: int, there: Sequence[int], room: _Room
) -> list[Candidate]:
    """`size` candidates that, with the rows of each concept that are there, are as even over
    concepts as they allow; fewer where there is no room.

    Algorithm:
        1. Stack each concept's candidates, the lowest hash on top. Those without a concept have a
           stack of their own, whose turn comes when every other is empty or has more rows than it
           can get.
        2. Take the concept with the fewest rows; rows that came with other concepts' candidates
           are counted first (its entry in the queue is then put back with the true number).
        3. Choose the top of its stack, passing over what is chosen already. An empty stack leaves
           the queue for good.
        4. When a video is chosen for the first time, its other candidates go on top of their
           stacks: they could serve in no other split.
        5. Count a row for every concept of the chosen one, and go back to 2.
    """
    num_concepts = len(there)
    by_concept: dict[int, list[Candidate]] = defaultdict(list)
    by_video: dict[str, list[Candidate]] = defaultdict(list)
    # The number after the last concept stands for "none": used when nothing else is left.
    for candidate in reversed(free):
        by_video[candidate.video].append(candidate)
        for concept_id in candidate.concept_ids or (num_concepts,):
            by_concept[concept_id].append(candidate)
    rows = list(there)
    queue = [
        (rows[concept_id], concept_id) for concept_id in by_concept if concept_id < num_concepts
    ]
    most = size + max(rows, default=0)
    queue += [(most, num_concepts)] if num_concepts in by_concept else []
    heapq.heapify(queue)
    taken: set[str] = set()
    chosen: list[Candidate] = []
    while len(chosen) < size and queue:
        num_rows, concept_id = heapq.heappop(queue)
        if concept_id < num_concepts and num_rows < rows[concept_id]:
            heapq.heappush(queue, (rows[concept_id], concept_id))
            continue
        stack = by_concept[concept_id]
        while stack and stack[-1].clip_id in taken:
            stack.pop()
        if not stack:
            continue
        candidate = stack.pop()
        if not room.has(candidate.video):
            heapq.heappush(queue, (num_rows, concept_id))
            continue
        if candidate.video in by_video:
            # Its siblings move to the top of their stacks: they could serve in no other split.
            for sibling in by_video.pop(candidate.video):
                for sibling_concept in sibling.concept_ids or (num_concepts,):
                    by_concept[sibling_concept].append(sibling)
        taken.add(candidate.clip_id)
        chosen.append(candidate)
        for own in candidate.concept_ids:
            rows[own] += 1
        heapq.heappush(queue, (num_rows, concept_id))
    return chosen


def _short_concepts(
    free: Sequence[Candidate], chosen: Sequence[Candidate], there: KeptRows
) -> tuple[tuple[int, ...], int]:
    """Concepts whose candidates are too few for an even share, and how many others got none."""
    num_concepts = len(there.by_concept)
    kept = Counter({i: n for i, n in enumerate(there.by_concept) if n})
    there_are = Counter(i for candidate in free for i in candidate.concept_ids) + kept
    rows = Counter(i for candidate in chosen for i in candidate.concept_ids) + kept
    even_share = max(1, (len(chosen) + there.num_rows) // max(1, num_concepts))
    short = (i for i in range(num_concepts) if rows[i] == there_are[i] < even_share)
    return tuple(short), sum(not rows[i] for i in there_are)
