"""Held-out splits: uniform over concepts, apart by video, empty rather than short."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.balance.splits import (
    Candidate,
    CandidatePool,
    DrawnSplits,
    SplitSizes,
    draw_splits,
)
from mama_augment.balance.stats import ShardStats
from mama_augment.core.errors import InputError


def candidate(number: int, concepts: tuple[int, ...], video: str | None = None) -> Candidate:
    return Candidate(number * 7919 % 1000, f"c{number}", video or f"v{number}", concepts)


def draw(
    candidates: list[Candidate], num_concepts: int, *, stratify: str = "uniform", **sizes: float
) -> DrawnSplits:
    wanted = SplitSizes(**({"meta": 0, "val": 0, "test": 0} | sizes), stratify=stratify)
    return draw_splits(
        pooled(candidates, wanted, num_concepts), wanted, num_concepts=num_concepts, given_videos={}
    )


def pooled(candidates: list[Candidate], sizes: SplitSizes, num_concepts: int) -> CandidatePool:
    pool = CandidatePool(sizes, num_concepts, num_clips=len(candidates))
    for one in candidates:
        pool.add(one)
    return pool


def test_rows_are_even_over_concepts_and_shortage_is_named() -> None:
    pool = [candidate(i, (0,)) for i in range(100)]
    pool += [candidate(100 + i, (1,)) for i in range(20)]
    pool += [candidate(120 + i, (2,)) for i in range(3)]
    drawn = draw(pool, 3, meta=30)
    concept_of = {c.clip_id: c.concept_ids[0] for c in pool}
    counts = Counter(concept_of[clip_id] for clip_id in drawn.split_of_clip)
    assert counts[2] == 3
    assert sorted([counts[0], counts[1]]) == [13, 14]
    assert drawn.short_concepts == {"meta": (2,)}


def test_more_concepts_than_rows_lists_those_that_no_clip_is_about() -> None:
    """Ten rows for 50 concepts, of which 0 to 29 have candidates."""
    pool = [candidate(i, (i % 30,)) for i in range(300)]
    drawn = draw(pool, 50, meta=10)
    assert drawn.short_concepts == {"meta": tuple(range(30, 50))}
    (warning,) = drawn.warnings
    assert warning.startswith("the meta split has no row of 20 concepts that trusted clips")
    assert "its 10 rows are too few for 50 concepts" in warning


def test_enough_rows_for_every_concept_list_nothing() -> None:
    drawn = draw([candidate(i, (i % 5,)) for i in range(100)], 5, meta=10)
    assert drawn.short_concepts == {"meta": ()}
    assert drawn.warnings == ()


def test_a_long_list_of_concepts_is_counted_and_cut() -> None:
    names = [f"concept {i}" for i in range(1_000)]
    stats = ShardStats(names=names, short={"meta": range(100, 1_000), "val": (7,)})
    stats.finish()
    found = stats.to_json()["short_concepts"]
    assert found["meta"] == {"num_concepts": 900, "first_ids": list(range(100, 120))}
    assert found["val"] == {"num_concepts": 1, "first_ids": [7]}
    meta, val = (w for w in stats.warnings if "cannot be filled" in w)
    assert "900 of 1,000 concepts" in meta
    assert meta.endswith("concept 118; concept 119; and 880 more")
    assert val.endswith("1 of 1,000 concepts, for want of trusted clips: concept 7")


def test_a_proportional_split_is_a_fair_sample_and_meta_stays_even() -> None:
    pool = [candidate(i, (0,) if i % 10 else (1,)) for i in range(1000)]
    drawn = draw(pool, 2, stratify="proportional", test=200, meta=40)
    concept_of = {c.clip_id: c.concept_ids[0] for c in pool}
    counts = Counter((split, concept_of[c]) for c, split in drawn.split_of_clip.items())
    assert 5 <= counts["test", 1] <= 40
    assert counts["meta", 0] == counts["meta", 1] == 20
    with pytest.raises(InputError, match="uniform, proportional"):
        SplitSizes(stratify="luck")


def test_siblings_of_a_drawn_video_are_preferred_to_another_video() -> None:
    pool = [candidate(i, (0,), video=f"v{i // 5}") for i in range(50)]
    drawn = draw(pool, 1, test=10)
    assert len(drawn.split_of_video) == 2, "10 clips fit into 2 videos of 5"


def test_a_split_that_cannot_be_filled_stays_empty_and_says_so() -> None:
    drawn = draw([candidate(i, (0,)) for i in range(8)], 1, test=5, val=5)
    assert Counter(drawn.split_of_clip.values()) == {"test": 5}
    assert len(drawn.warnings) == 1
    assert "the val split stays empty: 5 rows wanted, 3 trusted clips" in drawn.warnings[0]


def test_given_splits_and_their_videos_are_left_alone() -> None:
    pool = [candidate(i, (0,), video=f"v{i % 4}") for i in range(40)]
    sizes = SplitSizes(meta=5, val=5, test=5)
    drawn = draw_splits(
        pooled(pool, sizes, 1),
        sizes,
        num_concepts=1,
        given_videos={"v0": "test"},
        given_splits=["test"],
    )
    assert set(drawn.split_of_clip.values()) == {"val", "meta"}
    assert all(int(clip_id[1:]) % 4 for clip_id in drawn.split_of_clip)
    assert drawn.split_of_video["v0"] == "test"


def test_a_size_for_a_given_split_is_said_to_have_no_effect() -> None:
    pool = [candidate(i, (0,)) for i in range(40)]
    sizes = SplitSizes(meta=5, val=5)
    drawn = draw_splits(
        pooled(pool, sizes, 1),
        sizes,
        num_concepts=1,
        given_videos={"elsewhere": "meta", "too": "test"},
        given_splits=["meta", "test"],
    )
    (warning,) = drawn.warnings
    assert warning.startswith("--meta-size 5 has no effect: the input gives the meta split")
    assert Counter(drawn.split_of_clip.values()) == {"val": 5}


def test_a_size_below_one_is_a_share_of_the_candidates() -> None:
    pool = [candidate(i, (i % 3,)) for i in range(900)]
    drawn = draw(pool, 3, meta=0.1, val=0.5, test=20)
    assert Counter(drawn.split_of_clip.values()) == {"meta": 90, "val": 450, "test": 20}
    assert drawn.warnings == ()
    drawn = draw(pool[:4], 3, meta=0.1)
    assert drawn.split_of_clip == {}
    assert "meta split stays empty: too few" in drawn.warnings[0]


@pytest.mark.parametrize("size", [-1, -0.5, 1.5, float("nan"), float("inf")])
def test_a_size_that_is_neither_rows_nor_a_share_is_named(size: float) -> None:
    with pytest.raises(InputError, match=rf"--val-size is {size}; allowed: a number of rows"):
        SplitSizes(val=size)
    assert repr(SplitSizes(val=50.0).val) == "50", "the same config, however it is written"
    assert SplitSizes(val=0.05).val == 0.05


def test_a_pool_is_bounded_and_draws_as_if_it_were_not() -> None:
    many = [
        Candidate((i * 7919 + 13) % 100_003, f"c{i}", f"v{i}", (0,) if i % 50 else (1,))
        for i in range(20_000)
    ]
    sizes = SplitSizes(meta=20, val=20, test=20)
    pool = pooled(many, sizes, 2)
    assert pool.num_seen == 20_000
    assert len(pool.candidates()) < 1_000
    drawn = draw_splits(pool, sizes, num_concepts=2, given_videos={})
    by_concept = [[c for c in many if c.concept_ids == (k,)] for k in (0, 1)]
    lowest = {c.clip_id for part in by_concept for c in sorted(part, key=lambda c: c.order)[:30]}
    assert set(drawn.split_of_clip) == lowest, "30 rows of each concept, the lowest hashes"


pools = st.lists(
    st.tuples(st.lists(st.integers(0, 4), max_size=3, unique=True).map(tuple), st.integers(0, 12)),
    max_size=60,
)


@given(pools, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_splits_are_exact_or_empty_and_share_no_video(
    pool: list[tuple[tuple[int, ...], int]], meta: int, val: int, test: int
) -> None:
    candidates = [candidate(i, concepts, f"v{v}") for i, (concepts, v) in enumerate(pool)]
    video_of = {c.clip_id: c.video for c in candidates}
    drawn = draw(candidates, 5, meta=meta, val=val, test=test)
    sizes = Counter(drawn.split_of_clip.values())
    for split, wanted in (("meta", meta), ("val", val), ("test", test)):
        assert sizes[split] in (0, wanted)
    for clip_id, split in drawn.split_of_clip.items():
        assert drawn.split_of_video[video_of[clip_id]] == split
    again = draw(candidates[::-1], 5, meta=meta, val=val, test=test)
    assert again == drawn, "the draw must not hang on the order of its input"
