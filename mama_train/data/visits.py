"""The order of an epoch's visits, as a pure function of (seed, epoch) and the shards' index.

An epoch visits every kept caption once. Clips come in windows of row groups, so that shards can
be streamed through a bounded buffer; inside a window the order is a full shuffle in which the
captions of one clip lie far apart. The order depends neither on the number of processes nor on
the number of workers, so a position in it is all that resuming needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mama_augment.core.draws import hash_salt, mix
from mama_train.data.config import DataConfig

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """Every batch of an epoch: batch i is `visits[starts[i]:starts[i + 1]]`, rows of
    (clip row, caption index)."""

    visits: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def batch(self, index: int) -> Ints:
        """[B,2]: (clip row, caption index) of each visit."""
        return self.visits[self.starts[index] : self.starts[index + 1]]


def order_epoch(
    clip_C: Ints, caption_C: Ints, group_R: Ints, data: DataConfig, *, seed: int, epoch: int
) -> EpochOrder:
    """Shuffle an epoch and cut it into batches that never hold one clip twice.

    Args:
        clip_C: [C] the clip row of each caption to visit, ascending.
        caption_C: [C] the place of each of these captions in its clip's list.
        group_R: [R] the row group of each clip row.
        data: visit, batch_size and window_clips (at least one row group is a window).

    Algorithm:
        1. With `visit` clip, draw one caption of each clip by hash.
        2. Deal the row groups, in hashed order, into windows (`_windows`).
        3. Shuffle the captions of each window, those of one clip far apart (`_shuffle`).
        4. Cut the order into batches; a clip that is in one already waits for the next (`_cut`).
    """
    if not len(clip_C):
        return EpochOrder(visits=np.empty((0, 2), np.int64), starts=np.zeros(1, np.int64))
    salt = hash_salt(seed, epoch)
    clips, first, counts = np.unique(clip_C, return_index=True, return_counts=True)
    if data.visit == "clip":
        drawn = first + (mix(clips, salt + 1) % counts.astype(np.uint64)).astype(np.int64)
        clip_C, caption_C = clip_C[drawn], caption_C[drawn]
        first, counts = np.arange(len(clips)), np.ones_like(counts)
    window = _windows(group_R, clips, salt, data.window_clips)
    order = _shuffle(clip_C, first, counts, window, salt)
    visits = np.stack([clip_C[order], caption_C[order]], axis=1)
    return _cut(visits, min(data.batch_size, len(clips)))


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
    """Batches in order; a visit whose clip is in the batch already waits for the next one."""
    if not _repeats_in_a_batch(visits[:, 0], batch_size):
        starts_at = np.arange(0, len(visits), batch_size)
        return EpochOrder(visits=visits, starts=np.append(starts_at, len(visits)))
    order: list[int] = []
    starts = [0]
    waiting: list[int] = []
    rows = visits[:, 0].tolist()
    upcoming = iter(range(len(rows)))
    done = False
    while waiting or not done:
        inside: set[int] = set()
        still_waiting: list[int] = []
        for visit in waiting:
            if rows[visit] in inside or len(inside) == batch_size:
                still_waiting.append(visit)
            else:
                inside.add(rows[visit])
                order.append(visit)
        while len(inside) < batch_size and not done:
            following = next(upcoming, None)
            if following is None:
                done = True
            elif rows[following] in inside:
                still_waiting.append(following)
            else:
                inside.add(rows[following])
                order.append(following)
        waiting = still_waiting
        if inside:
            starts.append(len(order))
    return EpochOrder(visits=visits[order], starts=np.asarray(starts, np.int64))


def _repeats_in_a_batch(rows: Ints, batch_size: int) -> bool:
    """Whether plain cutting would put a clip into one batch twice."""
    whole = len(rows) // batch_size * batch_size
    ordered = np.sort(rows[:whole].reshape(-1, batch_size), axis=1)
    rest = np.sort(rows[whole:])
    return bool((np.diff(ordered, axis=1) == 0).any() or (np.diff(rest) == 0).any())


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
