"""Balance as arithmetic: draws, caps, keep probabilities, budgets, and `plan` on real tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mama_augment.balance.keep.settings import BalanceConfig, parse_cap
from mama_augment.balance.keep.union import auto_cap, concept_probabilities, keep_probability
from mama_augment.budget.spend import BudgetConfig, main_concepts, spend
from mama_augment.cli import app
from mama_augment.concepts.histogram import effective_number, gini, spread
from mama_augment.core.draws import draw_unit
from mama_augment.core.errors import InputError
from mama_augment.core.schema import PLAN
from tests.augment.worlds import caption, clip, write_captions, write_clips


def test_keep_rates_lie_within_the_binomial_error_of_their_probabilities() -> None:
    """For every p and seed the kept share of n texts is within 4.5 standard deviations of p.

    Two-sided 4.5 σ happens by chance about once in 150,000; 15 draws are made here.
    """
    n = 20_000
    for seed in range(3):
        for probability in (0.01, 0.2, 0.5, 0.9, 0.999):
            kept = sum(draw_unit(seed, "keep", f"clip{i}|human|0") < probability for i in range(n))
            bound = 4.5 * math.sqrt(n * probability * (1 - probability))
            assert abs(kept - n * probability) <= bound, (seed, probability, kept)


def test_draws_are_uniform_and_differ_by_seed() -> None:
    draws = np.array([[draw_unit(seed, "keep", i) for i in range(5_000)] for seed in (0, 1)])
    assert ((draws >= 0) & (draws < 1)).all()
    # Kolmogorov-Smirnov distance; 1.95 / sqrt(n) is passed by chance once in 1,000.
    ordered = np.sort(draws, axis=1)
    steps = np.arange(1, 5_001) / 5_000
    assert np.abs(ordered - steps).max() < 1.95 / math.sqrt(5_000)
    assert abs(np.corrcoef(draws)[0, 1]) < 4.5 / math.sqrt(5_000)


def test_keep_probability_is_one_minus_the_product_of_losses() -> None:
    probabilities = concept_probabilities(np.array([100, 40, 10, 0]), cap=20.0)
    assert probabilities.tolist() == [0.2, 0.5, 1.0, 1.0]
    assert keep_probability([0], probabilities) == 0.2
    assert keep_probability([0, 1], probabilities) == pytest.approx(1 - 0.8 * 0.5)
    assert keep_probability([0, 2], probabilities) == 1.0
    assert keep_probability([], probabilities) == 1.0


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_the_automatic_cap_lies_between_the_middle_and_the_head(counts: list[int]) -> None:
    cap = auto_cap(counts)
    present = [c for c in counts if c]
    if present and max(present) > 16:
        assert min(np.median(present), 16) <= cap <= max(*present, 16)
        ratio = max(present) / np.median(present)
        if cap > 16:
            assert cap / np.median(present) == pytest.approx(math.sqrt(ratio))
    assert cap >= 16


def test_even_counts_are_left_alone() -> None:
    assert (concept_probabilities([500] * 8, auto_cap([500] * 8)) == 1).all()


def test_spread_by_hand() -> None:
    assert effective_number([5, 5, 5, 5]) == pytest.approx(4)
    assert effective_number([7, 0, 0]) == pytest.approx(1)
    assert gini([1, 1, 1]) == pytest.approx(0)
    assert gini([0, 0, 0, 1]) == pytest.approx(0.75)
    found = spread([100, 50, 10, 5, 5, 0, 2, 2, 1, 1])
    assert (found.num_concepts, found.num_empty) == (10, 1)
    assert found.head_tail_ratio == pytest.approx(75 / 0.5)
    assert spread([3, 0, 0, 0, 0]).head_tail_ratio is None


@pytest.mark.parametrize("text", ["0", "-3", "nan", "many", ""])
def test_a_wrong_cap_is_a_clear_error(text: str) -> None:
    with pytest.raises(InputError, match="auto"):
        parse_cap(text)
    assert parse_cap("auto") is None
    assert parse_cap("none") == math.inf


@pytest.mark.parametrize(
    "wrong", [{"unmatched": "lose"}, {"max_captions_per_clip": 0}, {"cap": -1.0}]
)
def test_wrong_balance_settings_are_named(wrong: dict) -> None:
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        BalanceConfig(**wrong)


concept_lists = st.lists(
    st.lists(st.integers(0, 5), max_size=3, unique=True).map(sorted), min_size=1, max_size=40
)


@given(concept_lists, st.integers(1, 200), st.integers(1, 5), st.sampled_from(["uniform", "sqrt"]))
def test_a_budget_is_spent_exactly_or_every_clip_is_full(
    clips: list[list[int]], budget: int, most: int, target: str
) -> None:
    counts = np.bincount([c for clip in clips for c in clip], minlength=6)
    config = BudgetConfig(num_captions=budget, target=target, max_per_clip=most)
    result = spend(clips, counts, config)
    assert result.num_captions.max() <= most
    assert result.num_captions.sum() + result.num_unspent == budget
    if result.num_unspent:
        assert (result.num_captions == most).all()
    visits = counts.copy()
    for clip_concepts, number in zip(clips, result.num_captions, strict=True):
        visits[clip_concepts] += number
    assert visits.tolist() == result.counts_after.tolist()


@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.integers(1, 100))
def test_water_fills_the_lowest_first(sizes: list[int], budget: int) -> None:
    """With one concept per clip and room everywhere, what was raised ends level, to one visit."""
    clips = [[concept] for concept, size in enumerate(sizes) for _ in range(size)]
    config = BudgetConfig(num_captions=budget, max_per_clip=200)
    after = spend(clips, sizes, config).counts_after
    raised = after[after > np.array(sizes)]
    assert raised.max() - raised.min() <= 1
    assert after.min() >= raised.max() - 1


def test_sqrt_and_capped_targets() -> None:
    clips = [[0]] * 100 + [[1]] * 4
    sqrt = spend(clips, [100, 4], BudgetConfig(num_captions=22, target="sqrt", max_per_clip=50))
    # √100 : √4 is 5 : 1, so 126 visits in that shape are 105 and 21.
    levels = sqrt.counts_after / np.sqrt([100, 4])
    assert sqrt.counts_after.sum() == 126
    assert levels.max() - levels.min() <= 1
    capped = spend(
        clips,
        [100, 4],
        BudgetConfig(num_captions=22, target="capped", cap=10, max_per_clip=50),
    )
    assert capped.counts_after.tolist() == [100, 10]
    assert capped.num_unspent == 16


@given(
    concept_lists,
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([("uniform", None), ("sqrt", None), ("capped", 9.0)]),
)
def test_a_larger_budget_contains_the_smaller_one(
    clips: list[list[int]], budget: int, more: int, target: tuple[str, float | None]
) -> None:
    """So that `caption --reuse` serves a plan with a larger budget."""
    counts = np.bincount([c for clip in clips for c in clip], minlength=6)
    small, large = (
        spend(clips, counts, BudgetConfig(num_captions=n, target=target[0], cap=target[1]))
        for n in (budget, budget + more)
    )
    assert (small.num_captions <= large.num_captions).all()


def test_captions_are_spread_over_the_clips_of_a_concept() -> None:
    result = spend([[0]] * 5, [5], BudgetConfig(num_captions=12))
    assert sorted(result.num_captions.tolist()) == [2, 2, 2, 3, 3]


def test_what_a_clip_is_about_is_what_most_of_its_texts_say() -> None:
    assert main_concepts([[0, 1], [0], [0, 2]]) == [0]
    assert main_concepts([[0], [1]]) == [0, 1]
    assert main_concepts([[0], [1], [2], []]) == [0, 1, 2]
    assert main_concepts([[], []]) == []


def test_plan_command_spends_on_the_tail_and_spares_held_out_clips(tmp_path: Path) -> None:
    rows = [clip(f"h{i:02d}", f"a red ball {i}") for i in range(20)]
    rows += [clip(f"t{i}", f"a green cube {i}") for i in range(2)]
    rows += [clip("mute"), clip("test", ("a green cone", "human", True), split="test")]
    clips = write_clips(tmp_path / "clips", rows)
    captions = write_captions(tmp_path / "captions", [caption("t0", 0, "the green cube again")])
    (tmp_path / "phrases.txt").write_text("red\ngreen\n")
    out = tmp_path / "plan.parquet"
    arguments = ["plan", clips, captions, "--budget", "9", "--out", str(out)]
    arguments += ["--concepts", "vocabulary", "--vocabulary", str(tmp_path / "phrases.txt")]
    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not out.exists()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "green: 3 → 11" in result.output
    table = pq.read_table(out)
    assert table.schema.equals(PLAN)
    plan = {row["clip_id"]: row for row in table.to_pylist()}
    assert len(plan) == 24
    # 8 captions lift green from 3 to 11, the most that 2 clips with 4 captions each can take.
    assert [plan["t0"]["num_captions"], plan["t1"]["num_captions"]] == [4, 4]
    assert sum(row["num_captions"] for row in plan.values()) == 9
    assert plan["test"]["reason"] == "held out for test"
    assert plan["mute"]["reason"] == "unknown concept"
    assert plan["t0"]["reason"] == "rare: green (3 → 11)"


def test_an_output_that_is_a_directory_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("x")
    for out, said in (
        ("there", "a directory; give the name of a file"),
        ("new/", "a directory; give the name of a file"),
        ("file/plan.parquet", "is a file; give a name in a directory"),
    ):
        path = f"{tmp_path}/{out}"
        for command in (["plan", "no-clips", "--budget", "1"], ["report", *_one_of_each(tmp_path)]):
            result = CliRunner().invoke(app, [*command, "--out", path])
            assert isinstance(result.exception, InputError), (command, result.exception)
            assert repr(path) in str(result.exception)
            assert said in str(result.exception)


def _one_of_each(path: Path) -> list[str]:
    """A clips and a shards directory."""
    clips, shards = str(path / "clips"), str(path / "shards")
    if not Path(clips).exists():
        write_clips(Path(clips), [clip("c", "a ball")])
        assert CliRunner().invoke(app, ["balance", clips, "--out", shards]).exit_code == 0
    return [clips, shards]


def test_labels_plan_clips_that_have_no_text_yet(tmp_path: Path) -> None:
    import pyarrow as pa

    rows = [clip(f"c{i}", topic="tail" if i == 0 else "head") for i in range(6)]
    clips = write_clips(tmp_path / "clips", rows, extra=[pa.field("topic", pa.string())])
    out = tmp_path / "plan.parquet"
    arguments = ["plan", clips, "--budget", "8", "--concepts", "given"]
    result = CliRunner().invoke(app, [*arguments, "--concept-column", "topic", "--out", str(out)])
    assert result.exit_code == 0, result.output
    plan = {row["clip_id"]: row["num_captions"] for row in pq.read_table(out).to_pylist()}
    assert plan["c0"] == 4
    assert sorted(plan[f"c{i}"] for i in range(1, 6)) == [0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_captions": 0},
        {"num_captions": 1, "target": "square"},
        {"num_captions": 1, "target": "capped"},
        {"num_captions": 1, "cap": 5.0},
        {"num_captions": 1, "max_per_clip": 0},
    ],
)
def test_wrong_budgets_are_named(wrong: dict) -> None:
    with pytest.raises(InputError):
        BudgetConfig(**wrong)
