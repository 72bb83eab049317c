"""An epoch visits every kept caption once, in full batches, never one clip twice in a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_train.data.config import DataConfig
from mama_train.data.grouping import drawn_concepts
from mama_train.data.visits import (
    EpochOrder,
    ToVisit,
    Visit,
    keep_share,
    most_per_clip,
    order_epoch,
)


def order(
    counts: list[int],
    *,
    seed: int = 0,
    epoch: int = 0,
    carried: Sequence[Visit] = (),
    concepts: list[int] | None = None,
    **changes: Any,
) -> EpochOrder:
    """The order of clips with so many captions each, eight clips per row group. `concepts`: that of
    each clip's captions."""
    lengths = np.array(counts)
    clips = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    captions = np.arange(lengths.sum()) - np.repeat(first, lengths)
    data = DataConfig(**{"batch_size": 4, "window_clips": 1000, **changes})
    what = ToVisit(
        clip_C=clips,
        caption_C=captions,
        group_R=np.arange(len(lengths)) // 8,
        concept_C=None if concepts is None else np.array(concepts)[clips],
    )
    return order_epoch(what, data, seed=seed, epoch=epoch, carried=carried)


def chain(counts: list[int], num_epochs: int, **changes: Any) -> list[EpochOrder]:
    """Epochs that follow each other."""
    found: list[EpochOrder] = []
    for epoch in range(num_epochs):
        left = found[-1].left if found else ()
        found.append(order(counts, epoch=epoch, carried=left, **changes))
    return found


worlds = st.lists(st.integers(0, 9), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(
    counts=worlds,
    batch_size=st.integers(2, 70),
    window_clips=st.integers(1, 80),
    seed=st.integers(0, 5),
    by_concept=st.booleans(),
)
def test_full_batches_without_a_clip_twice_and_nothing_lost_or_made(
    counts: list[int], batch_size: int, window_clips: int, seed: int, by_concept: bool
) -> None:
    given_ = [n for n in counts if n]
    size = min(batch_size, len(given_))
    settings_: dict[str, Any] = {
        "batch_size": batch_size,
        "window_clips": window_clips,
        "seed": seed,
        "concepts": [i % 3 for i in range(len(counts))] if by_concept else None,
    }
    epochs = chain(counts, 3, **settings_)
    every = {(c, j) for c, n in enumerate(counts) for j in range(n)}
    carried: Counter[Any] = Counter()
    for found in epochs:
        visited = Counter(map(tuple, found.visits.tolist()))
        after = Counter(found.left)
        assert set(visited) | set(after) <= every
        # Each once, besides what was carried here; what is missing waited in vain, or is left.
        assert max((visited + after - carried).values(), default=0) <= 1
        assert len(found.left) < max(size, 1)
        for i in range(len(found)):
            batch = found.batch(i)
            assert len(batch) == size
            assert len(set(batch[:, 0].tolist())) == size
        carried = after
        if given_ and len(set(given_)) == 1:
            assert sum(visited.values()) + len(after) >= len(every) or size == len(given_)
    if given_:
        assert all(len(found) >= 1 for found in epochs)


@pytest.mark.parametrize("captions_per_clip", [1, 2, 3])
def test_carried_visits_make_every_caption_come_equally_often(captions_per_clip: int) -> None:
    """33 clips, batch 32: one visit is left over, and opens the next epoch."""
    epochs = chain([captions_per_clip] * 33, 64, batch_size=32)
    visited = Counter(visit for found in epochs for visit in map(tuple, found.visits.tolist()))
    visited.update(epochs[-1].left)
    assert set(visited.values()) == {64}
    assert {len(found.batch(i)) for found in epochs for i in range(len(found))} == {32}
    assert sum(map(len, epochs)) == 64 * 33 * captions_per_clip // 32


def test_dropping_the_remainder_leaves_other_visits_out_in_other_epochs() -> None:
    epochs = chain([1] * 33, 40, batch_size=32, remainder="drop")
    assert all(found.left == () and len(found) == 1 for found in epochs)
    missing = [next(iter(set(range(33)) - set(found.visits[:, 0].tolist()))) for found in epochs]
    assert len(set(missing)) > 15


def test_a_clip_with_very_many_captions_fills_no_epoch_with_its_own() -> None:
    counts = [1] * 100 + [60]
    assert most_per_clip(np.array(counts), 32) == 3
    epochs = chain(counts, 40, batch_size=32)
    assert {len(found.batch(i)) for found in epochs for i in range(len(found))} == {32}
    assert all(3 <= len(found) <= 4 for found in epochs)
    visited = Counter(visit for found in epochs for visit in map(tuple, found.visits.tolist()))
    assert min(visited[c, 0] for c in range(100)) >= 38
    assert len({j for c, j in visited if c == 100}) > 40  # others in other epochs


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=30), batch_size=st.integers(2, 30))
def test_the_most_per_clip_is_the_largest_that_fills_its_batches(
    counts: list[int], batch_size: int
) -> None:
    size = min(batch_size, len(counts))
    allowed = [k for k in range(1, max(counts) + 1) if sum(min(n, k) for n in counts) >= k * size]
    assert most_per_clip(np.array(counts), size) == max(allowed)


def test_batches_by_concept_have_a_share_in_common() -> None:
    rng = np.random.default_rng(0)
    concepts = rng.integers(0, 20, 400).tolist()
    plain = order([1] * 400, batch_size=16)
    grouped = order([1] * 400, batch_size=16, concepts=concepts, concept_share=0.5)

    def most_common(found: EpochOrder) -> list[int]:
        batches = [found.batch(i)[:, 0].tolist() for i in range(len(found))]
        return [Counter(concepts[c] for c in rows).most_common(1)[0][1] for rows in batches]

    assert np.mean(most_common(plain)) < 4
    assert np.mean(most_common(grouped)) > 7  # towards the end, concepts run out
    assert np.median(most_common(grouped)) == 8
    assert sorted(plain.visits[:, 0]) == sorted(grouped.visits[:, 0])


def test_a_window_keeps_its_visits_when_they_are_grouped() -> None:
    found = order([1] * 64, window_clips=16, concepts=[i % 4 for i in range(64)])
    window_of_visit = found.visits[:, 0] // 8
    assert [len(set(window_of_visit[i : i + 16])) for i in range(0, 64, 16)] == [2, 2, 2, 2]


def test_a_concept_of_a_caption_is_drawn_from_its_own() -> None:
    lists = np.array([5, 6, 7, 9]), np.array([0, 2, 2, 3, 4])
    number_C = np.array([0, 1, 2, 3])
    drawn = [drawn_concepts(lists, number_C, salt) for salt in range(30)]
    assert {int(d[0]) for d in drawn} == {5, 6}
    assert all(d[1:].tolist() == [-1, 7, 9] for d in drawn)


@settings(max_examples=50, deadline=None)
@given(counts=worlds, epoch=st.integers(0, 3))
def test_visit_clip_visits_each_captioned_clip_once(counts: list[int], epoch: int) -> None:
    found = order(counts, visit="clip", epoch=epoch)
    visits = [*map(tuple, found.visits.tolist()), *found.left]
    assert sorted(c for c, _ in visits) == [c for c, n in enumerate(counts) if n]
    assert all(j < counts[c] for c, j in visits)


def test_visit_clip_draws_other_captions_in_other_epochs() -> None:
    drawn = Counter(
        j
        for epoch in range(50)
        for _, j in order([4] * 10, visit="clip", epoch=epoch).visits.tolist()
    )
    assert set(drawn) == {0, 1, 2, 3}
    assert max(drawn.values()) < 2 * min(drawn.values())


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
