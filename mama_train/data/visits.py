"""The order of an epoch's visits, as a pure function of (seed, epoch), the shards' index and the
visits that the epoch before left over.

An epoch visits every kept caption once. Clips come in windows of row groups, so that shards can
be streamed through a bounded buffer; inside a window the order is a full shuffle in which the
captions of one clip lie far apart. All batches are full: a batch of a few captions teaches little,
and one of a single caption, which has no negatives, nothing. What is left over opens the next
epoch. The order depends neither on the number of processes nor on the number of workers, so a
position in it, with what opened its epoch, is all that resuming needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mama_augment.core.draws import hash_salt, mix
from mama_train.data.config import DataConfig
from mama_train.data.grouping import group_by_concept

Ints = NDArray[np.int64]
Visit = tuple[int, int]
"""(clip row, caption index)."""


@dataclass(frozen=True, kw_only=True)
class ToVisit:
    """What an epoch may visit. Arrays over captions (C) or clip rows (R).

    clip_C: the clip row of each caption, ascending. caption_C: its place in that clip's list.
    group_R: the row group of each clip row. concept_C: a concept that each caption is about, or
    -1; only where batches are grouped by it.
    """

    clip_C: Ints
    caption_C: Ints
    group_R: Ints
    concept_C: Ints | None = None

    def only(self, kept_C: Ints) -> ToVisit:
        """The same with some of the captions, given by ascending place."""
        concept_C = None if self.concept_C is None else self.concept_C[kept_C]
        return ToVisit(
            clip_C=self.clip_C[kept_C],
            caption_C=self.caption_C[kept_C],
            group_R=self.group_R,
            concept_C=concept_C,
        )


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """Every batch of an epoch: batch i is `visits[starts[i]:starts[i + 1]]`, rows of
    (clip row, caption index). `left`: visits that open the next epoch."""

    visits: Ints
    starts: Ints
    left: tuple[Visit, ...] = ()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def batch(self, index: int) -> Ints:
        """[B,2]: (clip row, caption index) of each visit."""
        return self.visits[self.starts[index] : self.starts[index + 1]]


def order_epoch(
    what: ToVisit, data: DataConfig, *, seed: int, epoch: int, carried: Sequence[Visit] = ()
) -> EpochOrder:
    """Shuffle an epoch and cut it into full batches that never hold one clip twice.

    Args:
        data: visit, batch_size (fewer where there are fewer clips), window_clips (at least one row
            group is a window), remainder and batches.
        carried: what the epoch before left over.

    Algorithm:
        1. Draw by hash, of each clip, as many captions as there is room for: one with `visit`
           clip, else at most as many as the epoch has batches (`most_per_clip`).
        2. Deal the row groups, in hashed order, into windows (`_windows`).
        3. Shuffle the captions of each window, those of one clip far apart (`_shuffle`), and move
           those of one concept together (`grouping`).
        4. Cut the order, behind what was carried, into batches; a clip that is in one already waits
           for the next (`_cut`).
    """
    if not len(what.clip_C):
        return EpochOrder(visits=np.empty((0, 2), np.int64), starts=np.zeros(1, np.int64))
    salt = hash_salt(seed, epoch)
    counts = np.unique(what.clip_C, return_counts=True)[1]
    batch_size = min(data.batch_size, len(counts))
    most = 1 if data.visit == "clip" else most_per_clip(counts, batch_size)
    if most < counts.max():
        what = what.only(_drawn(what.clip_C, most, salt))
    clips, first, counts = np.unique(what.clip_C, return_index=True, return_counts=True)
    window = _windows(what.group_R, clips, salt, data.window_clips)
    order = _shuffle(what.clip_C, first, counts, window, salt)
    if what.concept_C is not None:
        order = group_by_concept(
            order,
            np.repeat(window, counts)[order],
            what.clip_C,
            what.concept_C,
            blocks=(batch_size, len(carried), data.concept_share),
        )
    visits = np.stack([what.clip_C[order], what.caption_C[order]], axis=1)
    if carried:
        visits = np.concatenate([np.array(carried, np.int64), visits])
    found = _cut(visits, batch_size)
    if data.remainder == "drop":
        return EpochOrder(visits=found.visits, starts=found.starts)
    return found


def most_per_clip(counts: Ints, batch_size: int) -> int:
    """The largest K for which min(n, K) captions of each clip of n fill at least K batches: a clip
    is in a batch once at most, so more of its captions would be left over in the end, alone."""
    ordered = np.sort(counts)
    before = np.concatenate([[0], np.cumsum(ordered)])
    low, high = 1, int(ordered[-1])
    while low < high:
        middle = (low + high + 1) // 2
        place = int(np.searchsorted(ordered, middle))
        num = int(before[place]) + (len(ordered) - place) * middle
        low, high = (middle, high) if num >= middle * batch_size else (low, middle - 1)
    return low


def _drawn(clip_C: Ints, most: int, salt: int) -> Ints:
    """Ascending places of at most so many captions of each clip, drawn by hash."""
    hashed = mix(np.arange(len(clip_C)), salt + 1)
    by_clip = np.lexsort((hashed, clip_C))
    _, first, counts = np.unique(clip_C, return_index=True, return_counts=True)
    place = np.arange(len(clip_C)) - np.repeat(first, counts)
    return np.sort(by_clip[place < most])


def _windows(group_R: Ints, clips: Ints, salt: int, window_clips: int) -> Ints:
    """The window of each clip: row groups in hashed order, taken until a window is full."""
    groups, group_sizes = np.unique(group_R[clips], return_counts=True)
    hashed = np.argsort(mix(groups, salt + 2), kind="stable")
    before = np.concatenate([[0], np.cumsum(group_sizes[hashed])[:-1]])
    window_of_group = np.empty(len(groups), np.int64)
    window_of_group[hashed] = before // max(1, window_clips)
    return window_of_group[np.searchsorted(groups, group_R[clips])]


def _shuffle(clip_C: Ints, first: Ints, counts: Ints, window: Ints, salt: int) -> Ints:
    """[C] order of the captions: by window, then by pass, then by hash.

    A clip with k captions takes part in k different ones of its window's K passes, spread evenly,
    K being the most captions that any clip has. So two visits of one clip can only meet in a
    batch that lies across the end of a pass.

    Args:
        clip_C: [C] clip row of each caption, ascending.
        first, counts, window: per clip that has captions, the place of its first one in `clip_C`,
            how many it has, and the window it is in.

    Algorithm:
        1. Hash every caption.
        2. Rank the captions of each clip by hash: their places 0 … k − 1.
        3. Give place j of k the pass (j + u) · K / k, rounded down, with one u in [0, 1) hashed
           for the clip: one pass for each place, evenly spread, from a random start.
        4. Sort by window, pass and hash.
    """
    hashed = mix(np.arange(len(clip_C)), salt + 3)
    place = np.zeros(len(hashed), np.int64)
    if counts.max() > 1:
        by_clip = np.lexsort((hashed, clip_C))
        place[by_clip] = np.arange(len(by_clip)) - np.repeat(first, counts)
    start = mix(clip_C, salt + 4) / 2.0**64
    num_of_clip = np.repeat(counts, counts)
    passes = ((place + start) * counts.max() / num_of_clip).astype(np.int64)
    block = np.repeat(window, counts) * (counts.max() + 1) + passes
    # One key of block and hash sorts several times faster than two; equal ones stay in order.
    key = (block.astype(np.uint64) << np.uint64(36)) | (hashed >> np.uint64(28))
    return np.argsort(key, kind="stable")


def _cut(visits: Ints, batch_size: int) -> EpochOrder:
    """Full batches in order; a visit whose clip is in the batch already waits for the next one.

    Fewer visits are left over than a batch holds: where more wait, of a few clips with many
    captions, the last ones are left out.
    """
    if not _repeats_in_a_batch(visits[:, 0], batch_size):
        starts = np.arange(0, len(visits) + 1, batch_size)
        return EpochOrder(
            visits=visits[: starts[-1]], starts=starts, left=_as_tuples(visits[starts[-1] :])
        )
    order: list[int] = []
    num_batches = 0
    waiting: list[int] = []
    rows = visits[:, 0].tolist()
    upcoming = iter(range(len(rows)))
    done = False
    while not done:
        inside: set[int] = set()
        batch: list[int] = []
        still_waiting: list[int] = []
        for visit in waiting:
            if rows[visit] in inside or len(inside) == batch_size:
                still_waiting.append(visit)
            else:
                inside.add(rows[visit])
                batch.append(visit)
        while len(inside) < batch_size and not done:
            following = next(upcoming, None)
            if following is None:
                done = True
            elif rows[following] in inside:
                still_waiting.append(following)
            else:
                inside.add(rows[following])
                batch.append(following)
        if len(batch) < batch_size:
            waiting = batch + still_waiting
        else:
            waiting = still_waiting
            order += batch
            num_batches += 1
    return EpochOrder(
        visits=visits[order],
        starts=np.arange(num_batches + 1) * batch_size,
        left=_as_tuples(visits[waiting[: batch_size - 1]]),
    )


def _as_tuples(visits: Ints) -> tuple[Visit, ...]:
    return tuple((row, caption) for row, caption in visits.tolist())


def _repeats_in_a_batch(rows: Ints, batch_size: int) -> bool:
    """Whether plain cutting would put a clip into one batch twice."""
    whole = len(rows) // batch_size * batch_size
    ordered = np.sort(rows[:whole].reshape(-1, batch_size), axis=1)
    rest = np.sort(rows[whole:])
    return bool((np.diff(ordered, axis=1) == 0).any() or (np.diff(rest) == 0).any())


def keep_weighted(keep_C: NDArray[np.float64], number_C: Ints, salt: int) -> Ints:
    """Which captions to visit so that each is with its probability, by hash, ascending."""
    return np.flatnonzero(mix(number_C, salt) / 2.0**64 < keep_C)


def keep_share(is_generated_C: NDArray[np.bool_], human_share: float, salt: int) -> Ints:
    """Which captions to visit so that `human_share` of the visits are human: all of the scarcer
    source, and as many of the other, drawn by hash, ascending."""
    human, generated = np.flatnonzero(~is_generated_C), np.flatnonzero(is_generated_C)
    total = min(
        len(human) / human_share if human_share else np.inf,
        len(generated) / (1 - human_share) if human_share < 1 else np.inf,
    )
    wanted = round(total * human_share), round(total * (1 - human_share))
    drawn = [
        some[np.argsort(mix(some, salt), kind="stable")[:num]]
        for some, num in zip((human, generated), wanted, strict=True)
    ]
    return np.sort(np.concatenate(drawn))
