"""Comparisons: runs once, paired by seed, honest intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mama_train.commands import run_compare
from mama_train.compare.arms import estimate, read_comparison, run_comparison
from tests.train.shards_helper import write_shards


def test_interval_and_paired_test_are_students() -> None:
    arm, baseline = [12.0, 14.0, 13.0, 16.0], [10.0, 13.0, 10.0, 15.0]
    found = estimate(arm, baseline)
    low, high = stats.t.interval(0.95, 3, np.mean(arm), stats.sem(arm))
    assert found.half_width == pytest.approx((high - low) / 2)
    assert found.p_value == pytest.approx(stats.ttest_rel(arm, baseline).pvalue)
    assert found.difference == pytest.approx(1.75)
    assert estimate([3.0], [2.0]).half_width is None
    assert estimate(arm, arm).p_value is None


def test_runs_every_arm_and_seed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 12, "meta": 6, "test": 6})
    file = tmp_path / "arms.toml"
    file.write_text(
        f"""
        shards = "{shards}"
        seeds = [0, 1]
        [common]
        steps = 2
        batch_size = 4
        num_frames = 2
        [arms.plain]
        weights = "none"
        margin_kind = "none"
        [arms.margin]
        weights = "none"
        """
    )
    out = tmp_path / "out"
    run_compare(str(file), out=str(out), jobs=2)
    assert "plain" in capsys.readouterr().out
    found = json.loads((out / "comparison.json").read_text())
    metrics = [json.loads((out / f"margin-seed{s}/metrics.json").read_text()) for s in (0, 1)]
    assert found["margin"]["t→v R@1 %"]["values"] == [
        m["test"]["text_to_video"]["R@1"] for m in metrics
    ]
    assert (out / "comparison.html").read_text().count("<svg") >= 4
    written = (out / "plain-seed0" / "metrics.json").stat().st_mtime_ns
    run_compare(str(file), out=str(out), jobs=1)
    assert (out / "plain-seed0" / "metrics.json").stat().st_mtime_ns == written


def test_other_shards_are_other_results(tmp_path: Path) -> None:
    """In one arm only, or behind the same name."""
    small, large = (
        write_shards(tmp_path / name, {"train": num, "meta": 6, "test": num})
        for name, num in (("small", 6), ("large", 12))
    )
    moved = tmp_path / "moved"
    moved.symlink_to(small)
    settings = {"steps": 2, "batch_size": 4, "num_frames": 2, "weights": "none"}

    def compare(shards: Path, of_b: Path) -> dict[str, int]:
        """How many test clips each arm was measured on."""
        arms = {"a": {}, "b": {"shards": str(of_b)}}
        content = {"shards": str(shards), "seeds": [0], "common": settings, "arms": arms}
        file = tmp_path / "arms.json"
        file.write_text(json.dumps(content))
        results = run_comparison(read_comparison(str(file)), tmp_path / "out")
        return {arm: m["test"]["text_to_video"]["num_queries"] for arm, (m,) in results.items()}

    assert compare(moved, large) == {"a": 6, "b": 12}
    moved.unlink()
    moved.symlink_to(large)
    assert compare(moved, small) == {"a": 12, "b": 6}


def test_settings_may_stand_in_tables_and_an_arm_wins(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(
        """
        shards = "x"
        [common]
        optim.lr = 1e-3
        margin = 0.1
        [arms.a]
        lr = 1e-4
        [arms.b.loss]
        margin = 0.2
        """
    )
    comparison = read_comparison(str(file))
    found = {arm: comparison.config(arm, 0, tmp_path).to_json() for arm in ("a", "b")}
    assert [(c["lr"], c["margin"]) for c in found.values()] == [(1e-4, 0.1), (1e-3, 0.2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shards = 'x'\nseeds = []\n[arms.a]", r"seeds is \[\]"),
        ("shards = 'x'\nseeds = 3\n[arms.a]", "seeds is 3"),
        ("shards = 'x'\nseeds = [1, 1]\n[arms.a]", "different"),
        ("shards = 'x'\n[common]\nseed = 7\n[arms.a]", r"\[common\] sets seed = 7.*seeds"),
        ("shards = 'x'\n[arms.a]\nseed = 7", r"\[arms.a\] sets seed = 7.*seeds"),
        ("shards = 'x'\n[arms.a]\nout = 'y'", "--out"),
        ("shards = 'x'\n[common]\nshards = 'y'\n[arms.a]", "shards"),
        ("shards = 'x'\n[arms.a]\nsteps = '2'", "arm 'a': steps is '2'"),
        ("shards = 'x'", "arms"),
        ("shards = 'x'\nbaseline = 'b'\n[arms.a]", "'b'"),
        ("shards = 'x'\n[arms.a]\nmargins = 1", "'margins' is unknown; did you mean 'margin'"),
        ("shards = ", "arms.toml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=expected):
        read_comparison(str(file))


def test_no_jobs_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text("shards = 'x'\n[arms.a]")
    with pytest.raises(ValueError, match="--jobs 0"):
        run_compare(str(file), out=str(tmp_path / "out"), jobs=0)


@pytest.mark.parametrize("name", ["ablation", "meta_variants"])
def test_the_comparisons_of_the_benchmarks_can_be_read(name: str) -> None:
    found = read_comparison(str(Path(__file__).parents[3] / f"benchmarks/{name}.toml"))
    assert found.baseline in found.arms
    assert len({str(settings) for settings in found.arms.values()}) == len(found.arms)
