"""Batches of which a share has a concept in common: negatives that are harder to tell apart."""

from __future__ import annotations

from collections import defaultdict, deque

import numpy as np
from numpy.typing import NDArray

from mama_augment.core.draws import mix

Ints = NDArray[np.int64]


def drawn_concepts(lists: tuple[Ints, Ints], number_C: Ints, salt: int) -> Ints:
    """[C] one of each caption's concepts, drawn by hash; -1 where it has none.

    Args:
        lists: concept ids of all captions, one after the other, and where each caption's begin.
        number_C: the captions' numbers in those lists.
    """
    ids, starts = lists
    num_C = starts[number_C + 1] - starts[number_C]
    place_C = (mix(number_C, salt) % np.maximum(num_C, 1).astype(np.uint64)).astype(np.int64)
    found = np.full(len(number_C), -1, np.int64)
    has = num_C > 0
    found[has] = ids[(starts[number_C] + place_C)[has]]
    return found


def group_by_concept(
    order: Ints,
    window: Ints,
    clip_C: Ints,
    concept_C: Ints,
    *,
    blocks: tuple[int, int, float],
) -> Ints:
    """`order` with visits moved, inside their window, so that a share of each batch-sized block is
    about the concept of the block's first visit.

    Args:
        order: captions by number, as they are shuffled. window: the window of each, ascending.
        clip_C, concept_C: of each caption.
        blocks: visits per block, how many the first one has already, and the share.

    Algorithm: the first visit that is left begins a block; the next ones of its concept follow, of
    other clips, up to the share; the next ones of any concept fill the block. Where a window ends
    inside a block, the next one goes on with it.
    """
    size, taken_already, share = blocks
    wanted = max(2, round(share * size))
    room = size - taken_already % size
    found: list[int] = []
    for part in np.split(order, np.flatnonzero(np.diff(window)) + 1):
        queues: defaultdict[int, deque[int]] = defaultdict(deque)
        todo = part.tolist()
        for caption in todo:
            queues[int(concept_C[caption])].append(caption)
        used: set[int] = set()
        for anchor in todo:
            if anchor in used:
                continue
            found.append(anchor)
            used.add(anchor)
            room -= 1
            if room == size - 1 and concept_C[anchor] >= 0:
                more = _others(queues[int(concept_C[anchor])], used, clip_C, anchor, wanted - 1)
                found += more
                used.update(more)
                room -= len(more)
            if room == 0:
                room = size
    return np.array(found, np.int64)


def _others(queue: deque[int], used: set[int], clip_C: Ints, anchor: int, most: int) -> list[int]:
    """The next captions of a concept's queue, each of another clip; those of the same wait."""
    found: list[int] = []
    clips = {int(clip_C[anchor])}
    later: list[int] = []
    while queue and len(found) < most:
        caption = queue.popleft()
        if caption in used:
            continue
        if int(clip_C[caption]) in clips:
            later.append(caption)
        else:
            found.append(caption)
            clips.add(int(clip_C[caption]))
    queue.extendleft(reversed(later))
    return found
