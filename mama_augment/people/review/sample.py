"""Which texts a person is asked about: even over concepts, rarest first, apart by video; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.dataset as pads

from mama_augment.core.draws import draw_bits
from mama_augment.people.review.texts import TextIndex, parse_ids

PER_CONCEPT = 8
"""Candidates of a concept that are remembered for each text wanted of it."""
COLUMNS = ("number", "clip_id", "video_uri", "concepts")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may be asked about."""

    order: int
    number: int
    clip_id: str
    video: str
    concept_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text that is asked about."""

    number: int
    split: str
    concept: int | None
    """What it was drawn for."""


def draw_sample(index: TextIndex, sizes: Mapping[str, int], seed: int) -> list[Item]:
    """Texts in the order in which they are asked about.

    Only texts that are ok, not trusted yet, of clips without a given split.

    Algorithm:
        1. Each text's place within its concepts is a hash of the seed and its clip.
        2. Round after round, every concept gets one text, the rarest concept first. Texts without
           a concept come when the others are used up.
        3. A clip is asked about once. A video that serves a split serves no other; a new one goes
           to the split that lacks the largest part of its size.
    """
    free = (
        (pads.field("status") == "ok")
        & ~pads.field("trusted")
        & pads.field("split").is_null()
        & (pads.field("num_words") > 0)
    )
    total = sum(sizes.values())
    pool: dict[int, list[Candidate]] = defaultdict(list)
    counts: Counter[int] = Counter()
    num_wanted = PER_CONCEPT * (1 + total // max(1, len(index.names))) + PER_CONCEPT
    for batch in index.dataset.to_batches(columns=list(COLUMNS), filter=free):
        for row in batch.to_pylist():
            _offer(pool, counts, row, seed, num_wanted, total)
    queues = {key: sorted(some, key=lambda c: c.order) for key, some in pool.items()}
    concepts = sorted((key for key in queues if key >= 0), key=lambda key: (counts[key], key))
    return _rounds(queues, concepts, sizes)


NO_CONCEPT = -1


def _offer(
    pool: dict[int, list[Candidate]],
    counts: Counter[int],
    row: Mapping[str, Any],
    seed: int,
    num_wanted: int,
    total: int,
) -> None:
    """Keep a text where it is among the first of a concept of its."""
    ids = tuple(parse_ids(row["concepts"]))
    order = draw_bits(seed, "review", row["clip_id"], row["number"])
    candidate = Candidate(
        order, row["number"], row["clip_id"], row["video_uri"] or row["clip_id"], ids
    )
    counts.update(ids)
    for key in ids or (NO_CONCEPT,):
        most = 2 * (num_wanted if ids else PER_CONCEPT * total)
        pool[key].append(candidate)
        if len(pool[key]) > most:
            pool[key] = sorted(pool[key], key=lambda c: c.order)[: most // 2]


def _rounds(
    queues: Mapping[int, Sequence[Candidate]], concepts: Sequence[int], sizes: Mapping[str, int]
) -> list[Item]:
    left = dict(sizes)
    split_of_video: dict[str, str] = {}
    used: set[str] = set()
    items: list[Item] = []

    def take(candidates: Iterable[Candidate], concept: int | None) -> bool:
        for candidate in candidates:
            split = split_of_video.get(candidate.video) or _neediest(left, sizes)
            if candidate.clip_id in used or split is None or not left[split]:
                continue
            used.add(candidate.clip_id)
            split_of_video[candidate.video] = split
            left[split] -= 1
            items.append(Item(number=candidate.number, split=split, concept=concept))
            return True
        return False

    open_queues = {key: iter(queues[key]) for key in concepts}
    while open_queues and any(left.values()):
        for key in list(open_queues):
            if not take(open_queues[key], key):
                del open_queues[key]
    rest = iter(queues.get(NO_CONCEPT, ()))
    while any(left.values()) and take(rest, None):
        pass
    return items


def _neediest(left: Mapping[str, int], sizes: Mapping[str, int]) -> str | None:
    """The split that lacks the largest part of its size; None: all are full."""
    lacking = [split for split in sizes if left[split]]
    return max(lacking, key=lambda split: left[split] / sizes[split]) if lacking else None
