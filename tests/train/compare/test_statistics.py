"""Intervals and tests against scipy's, and against an example worked by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mama_train.compare import texts
from mama_train.compare.measures import MEASURES, Run, chance, states
from mama_train.compare.statistics import bootstrap, bootstrap_values, holm, paired_p, spread
from mama_train.compare.summary import summarise


def test_holm_as_in_the_example() -> None:
    """0.01, 0.02, 0.03 and 0.04, sorted: times 4, 3, 2 and 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]


def test_paired_test_and_spread_are_a_samples() -> None:
    arm, baseline = np.array([12.0, 14.0, 13.0, 16.0]), np.array([10.0, 13.0, 10.0, 15.0])
    assert paired_p(arm - baseline) == pytest.approx(stats.ttest_rel(arm, baseline).pvalue)
    assert spread(arm.tolist()) == pytest.approx(np.std(arm, ddof=1))
    assert (paired_p([1.0]), paired_p([2.0, 2.0]), spread([3.0])) == (None, None, None)


@pytest.mark.parametrize("reduce", [np.mean, np.median])
def test_bootstrap_over_queries_agrees_with_scipy(reduce: object) -> None:
    values = np.random.default_rng(0).gamma(2.0, 10.0, 200)
    low, high = bootstrap(values[None], reduce)  # type: ignore[arg-type]
    found = stats.bootstrap(
        (values,), reduce, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = found.high - found.low
    assert low == pytest.approx(found.low, abs=0.1 * width)
    assert high == pytest.approx(found.high, abs=0.1 * width)


def test_bootstrap_over_seeds_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).normal(50, 5, 12)
    found = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    of_values = bootstrap_values(values.tolist())
    assert of_values is not None
    for low, high in (of_values, bootstrap(np.repeat(values[:, None], 3, 1))):
        assert low == pytest.approx(found.low, abs=0.4)
        assert high == pytest.approx(found.high, abs=0.4)


def test_a_difference_that_every_query_shares_has_a_narrow_interval() -> None:
    """Paired: the same seeds and queries are drawn of both."""
    baseline = np.random.default_rng(0).integers(1, 100, (3, 200)).astype(float)
    low, high = bootstrap(baseline + 2.0, baseline_SQ=baseline)
    assert (low, high) == pytest.approx((2.0, 2.0))
    alone = bootstrap(baseline)
    assert alone[1] - alone[0] > 5


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_recalls_stay_between_0_and_100(ranks: list[int], num_seeds: int) -> None:
    runs = [run(ranks) for _ in range(num_seeds)]
    found = summarise({"a": runs}, "a")["a"]["t→v R@1 %"]
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= 100


def run(ranks: list[int], **more: object) -> Run:
    recall = 100 * float(np.mean(np.array(ranks) <= 1))
    test = {"text_to_video": {"R@1": recall, "MdR": float(np.median(ranks))}}
    return Run(metrics={"test": test, **more}, queries={"text_to_video": ranks, "bucket": []})


def test_runs_that_diverged_have_no_value_and_are_left_out_in_pairs() -> None:
    good = [run([1, 2, 3, 1]), run([1, 1, 3, 1]), run([2, 2, 3, 1])]
    arm = [run([1, 1, 1, 1]), Run(diverged="the loss"), run([1, 2, 1, 1])]
    found = summarise({"base": good, "arm": arm, "lost": [Run(diverged="x")] * 3}, "base")
    recall = found["arm"]["t→v R@1 %"]
    assert recall.values == (100.0, 75.0)
    assert recall.difference == pytest.approx((50.0 + 50.0) / 2)
    assert recall.difference_low is not None
    assert found["lost"] == {}
    assert states({"arm": arm, "base": good}) == {"arm": "1 of 3 diverged", "base": ""}


def test_p_values_are_corrected_for_the_number_of_arms() -> None:
    rng = np.random.default_rng(0)
    arms = {
        name: [run(rng.integers(1, 2 + shift, 50).tolist()) for _ in range(5)]
        for name, shift in (("base", 3), ("a", 2), ("b", 6))
    }
    found = {arm: of["t→v R@1 %"] for arm, of in summarise(arms, "base").items()}
    raw = [found[arm].p_value for arm in ("a", "b")]
    assert [found[arm].p_holm for arm in ("a", "b")] == pytest.approx(holm(raw))  # type: ignore[arg-type]
    assert found["base"].p_value is None
    by_hand = stats.ttest_rel(found["a"].values, found["base"].values).pvalue
    assert raw[0] == pytest.approx(by_hand)


def test_weight_nets_are_counted() -> None:
    nets = [{"dead": True, "state": "saturated"}, {"dead": False, "state": "collapsed"}]
    runs = [run([1], weight_net=net) for net in nets] + [run([1], weight_net=None)]
    assert states({"a": runs}) == {"a": "V: 1 dead, 1 collapsed of 2"}


def test_chance_is_read_from_a_run() -> None:
    told = {"text_to_video": {"R@1": 0.5, "MnR": 100.5}}
    assert chance({"a": [Run(metrics={"test": {"chance": told}})]}) == {
        "t→v R@1 %": 0.5,
        "t→v MnR": 100.5,
    }


def test_latex_escapes_what_has_a_meaning_there() -> None:
    nasty = r"50 % of a_b & {c} #1 $x^2$ ~ \d < > |"
    text = texts.latex_text(nasty)
    bare = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]", "", text)
    assert not re.search(r"[&%$#_{}~^\\<>]", bare)
    table = texts.latex(["arm", "R@1 %"], [[nasty, "1.0 ± 0.5"]])
    for line in table.splitlines()[2:-2]:
        if not line.startswith("\\midrule"):
            assert len(re.findall(r"(?<!\\)&", line)) == 1
            assert line.endswith(r" \\")
    assert r"1.0 $\pm$ 0.5" in table


def test_markdown_rows_have_as_many_cells_as_the_head() -> None:
    lines = texts.markdown(["arm", "x"], [["a | b", "1"]]).splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3, 3, 3]


def test_every_measure_has_a_name_of_its_own() -> None:
    assert len(MEASURES) == 29
