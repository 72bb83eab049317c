"""An epoch visits every kept caption once, never one clip twice in a batch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_train.data.config import DataConfig
from mama_train.data.visits import EpochOrder, keep_share, order_epoch


def order(counts: list[int], *, seed: int = 0, epoch: int = 0, **changes: Any) -> EpochOrder:
    """The order of clips with so many captions each, eight clips per row group."""
    lengths = np.array(counts)
    clips = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    captions = np.arange(lengths.sum()) - np.repeat(first, lengths)
    data = DataConfig(**{"batch_size": 4, "window_clips": 1000, **changes})
    groups = np.arange(len(lengths)) // 8
    return order_epoch(clips, captions, groups, data, seed=seed, epoch=epoch)


worlds = st.lists(st.integers(0, 9), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(
    counts=worlds,
    batch_size=st.integers(2, 70),
    window_clips=st.integers(1, 80),
    seed=st.integers(0, 5),
)
def test_every_caption_once_and_no_clip_twice_in_a_batch(
    counts: list[int], batch_size: int, window_clips: int, seed: int
) -> None:
    found = order(counts, batch_size=batch_size, window_clips=window_clips, seed=seed)
    visited = Counter(map(tuple, found.visits.tolist()))
    assert visited == Counter((c, j) for c, n in enumerate(counts) for j in range(n))
    for i in range(len(found)):
        batch = found.batch(i)
        assert 1 <= len(batch) <= batch_size
        assert len(set(batch[:, 0].tolist())) == len(batch)


@settings(max_examples=50, deadline=None)
@given(counts=worlds, epoch=st.integers(0, 3))
def test_visit_clip_visits_each_captioned_clip_once(counts: list[int], epoch: int) -> None:
    found = order(counts, visit="clip", epoch=epoch)
    assert sorted(found.visits[:, 0].tolist()) == [c for c, n in enumerate(counts) if n]
    assert all(j < counts[c] for c, j in found.visits.tolist())


def test_visit_clip_draws_other_captions_in_other_epochs() -> None:
    drawn = Counter(
        j
        for epoch in range(50)
        for _, j in order([4] * 10, visit="clip", epoch=epoch).visits.tolist()
    )
    assert set(drawn) == {0, 1, 2, 3}
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_full_batches_but_for_the_last_where_captions_are_even() -> None:
    found = order([2] * 50, batch_size=8)
    sizes = np.diff(found.starts)
    assert sizes.sum() == 100
    assert (sizes[:-1] == 8).all()


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = order([2] * 50, seed=1, epoch=2).visits
    assert np.array_equal(first, order([2] * 50, seed=1, epoch=2).visits)
    assert not np.array_equal(first, order([2] * 50, seed=1, epoch=3).visits)
    assert not np.array_equal(first, order([2] * 50, seed=2, epoch=2).visits)


def test_a_window_is_left_only_when_it_is_used_up() -> None:
    found = order([2] * 64, batch_size=4, window_clips=16)
    window_of_visit = found.visits[:, 0] // 8
    blocks = [set(window_of_visit[i : i + 32].tolist()) for i in range(0, 128, 32)]
    assert [len(b) for b in blocks] == [2, 2, 2, 2]
    assert len(set().union(*blocks)) == 8


def test_captions_of_a_clip_lie_apart() -> None:
    found = order([4] * 100, batch_size=8)
    places = {c: np.flatnonzero(found.visits[:, 0] == c) for c in range(100)}
    gaps = np.concatenate([np.diff(p) for p in places.values()])
    assert np.median(gaps) > 60  # a quarter of an epoch would be 100


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_human_share_is_reached_with_all_of_the_scarcer_source(share: float) -> None:
    generated = np.arange(400) % 4 != 0  # 100 human, 300 generated
    kept = keep_share(generated, share, salt=3)
    assert len(set(kept.tolist())) == len(kept)
    assert (~generated[kept]).mean() == pytest.approx(share, abs=0.01)
    assert (~generated[kept]).sum() == 100 or generated[kept].sum() == 300
