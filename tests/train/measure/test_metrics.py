"""Retrieval metrics against hand-made matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_train.measure.metrics import (
    bucket_of_concept,
    by_bucket,
    chance,
    dual_softmax,
    published,
    ranks_of,
    relevance,
    retrieval,
)


def test_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.3, 0.9, 0.2]])
    found = retrieval(similarity, np.eye(3, dtype=bool))  # ranks 1, 2, 3
    assert found.r1 == pytest.approx(100 / 3)
    assert found.r5 == 100
    assert (found.median_rank, found.mean_rank, found.num_queries) == (2, 2, 3)


def test_ties_are_told_and_denominators_are_the_queries() -> None:
    found = retrieval(np.zeros((4, 4)), np.eye(4, dtype=bool))
    assert (found.r1, found.num_queries, found.tied_share) == (100, 4, 1)


def test_nan_and_missing_relevance_are_errors() -> None:
    similarity = np.eye(3)
    similarity[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        retrieval(similarity, np.eye(3, dtype=bool))
    with pytest.raises(ValueError, match="no relevant"):
        retrieval(np.eye(3), np.zeros((3, 3), bool))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), num=st.integers(2, 12))
def test_rank_is_that_of_the_best_relevant_item_in_a_sorted_list(seed: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.normal(size=(num, num + 2))
    relevant = rng.random((num, num + 2)) < 0.3
    relevant[:, 0] |= ~relevant.any(axis=1)
    rank, _ = ranks_of(similarity, relevant)
    for q in range(num):
        order = np.argsort(-similarity[q])
        assert rank[q] == 1 + next(i for i, item in enumerate(order) if relevant[q, item])


def test_identical_texts_of_two_videos_are_relevant_to_both() -> None:
    found = relevance([0, 1, 1, 2], ["a", "a", "b", "c"], num_videos=3)
    assert found.tolist() == [
        [True, True, False],
        [True, True, False],
        [False, True, False],
        [False, False, True],
    ]


def test_dual_softmax_demotes_an_item_that_every_query_likes() -> None:
    similarity = np.array([[0.50, 0.52], [0.10, 0.60]])
    assert similarity[0].argmax() == 1
    assert dual_softmax(similarity)[0].argmax() == 0


def test_buckets_by_the_rarest_concept() -> None:
    num_before = {0: 100, 1: 10, 2: 1}
    assert bucket_of_concept(num_before) == {0: "head", 1: "middle", 2: "tail"}
    found = by_bucket(np.array([1, 2, 1]), [[0], [0, 2], [2]], num_before)
    assert found["head"] == {"R@1": 100, "num_queries": 1}
    assert found["tail"] == {"R@1": 50, "num_queries": 2}


def ranks_by_sorting(scores: list[float], own: int) -> int:
    """The place of an item in a list that is sorted by falling score."""
    return 1 + sorted(range(len(scores)), key=lambda i: -scores[i]).index(own)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 5), min_size=2, max_size=9), seed=st.integers(0, 99))
def test_the_published_protocol_equals_brute_force_with_several_sentences(
    counts: list[int], seed: int
) -> None:
    """As CLIP4Clip evaluates sets with many sentences per video: text to video sentence by
    sentence; video to text, a video's sentences count by the best of them."""
    counts[0] = max(counts[0], 1)
    rows = [video for video, n in enumerate(counts) for _ in range(n)]
    similarity = np.random.default_rng(seed).normal(size=(len(rows), len(counts)))
    to_video, to_text = published(similarity, rows)
    found = [ranks_by_sorting(list(similarity[t]), video) for t, video in enumerate(rows)]
    assert to_video.mean_rank == pytest.approx(np.mean(found))
    assert to_video.r5 == pytest.approx(100 * np.mean([r <= 5 for r in found]))
    captioned = [video for video, n in enumerate(counts) if n]
    found = []
    for query in captioned:
        best = [
            max(similarity[t][query] for t, owner in enumerate(rows) if owner == video)
            for video in captioned
        ]
        found.append(ranks_by_sorting(best, captioned.index(query)))
    assert to_text.mean_rank == pytest.approx(np.mean(found))
    assert to_text.median_rank == np.median(found)
    assert (to_video.num_queries, to_text.num_queries) == (len(rows), len(captioned))


def test_identical_texts_are_right_for_us_and_wrong_for_papers() -> None:
    similarity = np.array([[0.1, 0.9], [0.2, 0.8]])  # both texts prefer the second video
    relevant = relevance([0, 1], ["a dog", "a dog"], num_videos=2)
    assert retrieval(similarity, relevant).r1 == 100
    assert published(similarity, [0, 1])[0].r1 == 50


def test_many_wrong_sentences_of_one_video_are_one_wrong_video_for_papers() -> None:
    similarity = np.array([[0.5, 0.0], [0.9, 1.0], [0.8, 1.0], [0.7, 1.0]])
    ours = retrieval(similarity.T[:1], np.array([[True, False, False, False]]))
    assert ours.mean_rank == 4
    assert published(similarity, [0, 1, 1, 1])[1].mean_rank == 1.5  # ranks 2 and 1


@given(seed=st.integers(0, 200), num=st.integers(1, 5))
@settings(deadline=None, max_examples=25)
def test_chance_is_the_mean_over_all_orders_of_the_items(seed: int, num: int) -> None:
    relevant = np.random.default_rng(seed).random((3, num)) < 0.4
    relevant[:, 0] |= ~relevant.any(axis=1)
    orders = [np.array([order] * 3, float) for order in itertools.permutations(range(num))]
    found = [retrieval(order, relevant).to_json() for order in orders]
    for name, value in chance(relevant).items():
        assert value == pytest.approx(np.mean([f[name] for f in found])), name
