"""The keep rule that acts: as even as a general solver finds, by hand, and at any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mama_augment.balance.keep.even import ConceptSets, Texts, divergence, make_even
from mama_augment.balance.keep.rule import choose_rule, curve_of, knee, union_keep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.keep.union import concept_probabilities, keep_probability
from mama_augment.concepts.histogram import effective_number
from mama_augment.core.errors import InputError

ZIPF = [tuple(sorted({i % 7, (i * i) % 5 + 7})) for i in range(60)] + [(0, 7)] * 300 + [(1,)] * 80


def texts_of(lists: list[tuple[int, ...]], num_concepts: int = 12) -> Texts:
    sets = ConceptSets(num_concepts=num_concepts)
    half = len(lists) // 2
    sets.add(lists[:half])
    sets.add(lists[half:])
    return sets.finish()


def test_one_concept_each_is_solved_by_hand() -> None:
    texts = texts_of([(0,)] * 90 + [(1,)] * 10 + [()] * 5, 2)
    found = make_even(texts, 0.2, np.ones(2), np.zeros(2))
    assert found.visits.tolist() == pytest.approx([10, 10], rel=1e-3)
    # More can be kept than an even histogram has: the rare stays whole.
    found = make_even(texts, 0.5, np.ones(2), np.zeros(2))
    assert found.visits.tolist() == pytest.approx([40, 10], rel=1e-3)


@pytest.mark.parametrize("share", [0.9, 0.7, 0.4])
@pytest.mark.parametrize("low", [0.0, 0.05])
@pytest.mark.parametrize("target", ["uniform", "sqrt"])
def test_it_reaches_what_a_general_solver_finds(share: float, low: float, target: str) -> None:
    texts = texts_of(ZIPF)
    counts = texts.visits(np.ones(len(texts.keys)))
    present = counts > 0
    wanted = np.ones(12) if target == "uniform" else np.sqrt(counts)
    log_target = np.where(present, np.log(np.maximum(wanted, 1e-9)), 0)
    log_target -= np.log(np.exp(log_target[present]).sum())
    total = share * texts.total

    def loss(keep: np.ndarray) -> float:
        return divergence(texts.visits(keep), log_target, present)

    limit = {"type": "eq", "fun": lambda keep: texts.num_texts @ keep - total}
    start = np.full(len(texts.keys), share)
    bounds = [(max(low, 1e-9), 1.0)] * len(start)
    best = minimize(loss, start, bounds=bounds, constraints=[limit], options={"maxiter": 500})
    found = make_even(texts, share, wanted, np.full(len(start), low))
    assert texts.num_texts @ found.keep == pytest.approx(total, rel=1e-4)
    assert low <= found.keep.min() <= found.keep.max() <= 1
    assert loss(found.keep) <= best.fun + 5e-3
    assert loss(found.keep) - best.fun <= found.gap + 1e-4, "the gap is an upper bound"


def test_it_beats_the_union_rule_at_the_same_share() -> None:
    texts = texts_of(ZIPF)
    curve = curve_of(texts, np.ones(12), np.zeros(len(texts.keys)), 0.4)
    assert all(p.effective_number >= p.union_effective_number * 0.995 for p in curve)
    assert curve[-1].effective_number > 1.03 * curve[-1].union_effective_number
    evenness = [p.effective_number for p in curve]
    assert evenness == sorted(evenness)


@given(st.lists(st.sets(st.integers(0, 9), max_size=3), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_rules_say_of_a_text_what_its_concepts_say(lists: list[set[int]]) -> None:
    own = [tuple(sorted(ids)) for ids in lists]
    texts = texts_of(own, 10)
    assert texts.total == sum(bool(ids) for ids in own)
    counts = texts.visits(np.ones(len(texts.keys)))
    assert counts.tolist() == [sum(c in ids for ids in own) for c in range(10)]
    rule = choose_rule(texts, BalanceConfig(rule="union", cap=2.0))
    probabilities = concept_probabilities(counts.astype(int), 2.0)
    expected = [keep_probability(ids, probabilities) for ids in own]
    assert rule.of(own).tolist() == pytest.approx(expected)
    even = choose_rule(texts, BalanceConfig(keep_share=0.5))
    assert even.of(own).tolist() == even.of([tuple(reversed(ids)) for ids in own]).tolist()
    assert all(p == 1 for p, ids in zip(even.of(own), own, strict=True) if not ids)


def test_the_order_of_texts_and_buckets_changes_nothing() -> None:
    one, other = texts_of(ZIPF), texts_of(ZIPF[::-1])
    assert one.keys.tolist() == other.keys.tolist()
    config = BalanceConfig(keep_share=0.6)
    assert choose_rule(one, config).keep.tobytes() == choose_rule(other, config).keep.tobytes()


def test_the_default_acts_within_its_limits() -> None:
    texts = texts_of(ZIPF)
    rule = choose_rule(texts, BalanceConfig())
    assert rule.is_chosen
    assert 0.6 - 1e-6 <= rule.share < 1
    counts = texts.visits(np.ones(len(texts.keys)))
    rare = texts.rarest(counts) <= 16
    assert (rule.keep[rare] == 1).all(), "what is rare anyway stays"
    after = effective_number(texts.visits(rule.keep))
    assert after > 1.1 * effective_number(counts)
    even = texts_of([(i % 4,) for i in range(400)], 4)
    assert choose_rule(even, BalanceConfig()).share == 1
    assert choose_rule(texts, BalanceConfig(cap=float("inf"))).share == 1
    assert choose_rule(texts_of([()] * 9), BalanceConfig()).share == 1


def test_a_share_of_the_union_rule_is_met() -> None:
    texts = texts_of(ZIPF)
    rule = choose_rule(texts, BalanceConfig(rule="union", keep_share=0.5))
    assert rule.share == pytest.approx(0.5, abs=1e-6)
    counts = texts.visits(np.ones(len(texts.keys)))
    assert rule.keep.tolist() == union_keep(texts, counts, rule.cap).tolist()


def test_the_knee_of_a_bend_is_found_and_a_flat_curve_keeps_all() -> None:
    texts = texts_of(ZIPF)
    curve = curve_of(texts, np.ones(12), np.zeros(len(texts.keys)), 0.3)
    assert 0.3 < knee(curve) < 1
    assert knee(curve[:1]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_share": 0.0},
        {"keep_share": 1.5},
        {"target": "capped"},
        {"target": "square"},
        {"rule": "union", "target": "sqrt"},
        {"min_keep": 0.0},
        {"way": "weigh"},
        {"keep_at_least": 0.0},
    ],
)
def test_wrong_settings_are_named(wrong: dict) -> None:
    with pytest.raises(InputError):
        BalanceConfig(**wrong)
