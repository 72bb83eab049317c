"""Comparisons: runs once, paired by seed, honest intervals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mama_train.commands import run_compare, run_seeds
from mama_train.compare.arms import read_comparison
from mama_train.compare.runs import Shown, Step, run_comparison
from mama_train.config import TrainConfig
from tests.train.shards_helper import write_shards


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
    rows = list(csv.DictReader((out / "runs.csv").open()))
    assert [(r["arm"], r["seed"]) for r in rows] == [
        ("plain", "0"),
        ("plain", "1"),
        ("margin", "0"),
        ("margin", "1"),
    ]
    assert float(rows[2]["t→v R@1 %"]) == metrics[0]["test"]["text_to_video"]["R@1"]
    queries = json.loads((out / "margin-seed0/test_queries.json").read_text())
    assert sum(r <= 1 for r in queries["text_to_video"]) / 6 == pytest.approx(
        metrics[0]["test"]["text_to_video"]["R@1"] / 100
    )
    one = found["margin"]["t→v R@1 %"]
    assert 0 <= one["low"] <= one["mean"] <= one["high"] <= 100
    assert (out / "comparison.tex").read_text().count("tabular") >= 6
    assert "| margin |" in (out / "comparison.md").read_text()
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
        return {
            arm: run.metrics["test"]["text_to_video"]["num_queries"]
            for arm, (run,) in results.items()
        }

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


def test_a_list_of_values_makes_arms(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(
        """
        shards = "x"
        baseline = "swept"
        [common]
        eval_shards = ["y"]
        [arms.alone]
        eval_shards = ["y", "z"]
        [arms.swept]
        margin = [0.0, 0.1]
        optim.lr = [1e-3, 1e-4]
        """
    )
    found = read_comparison(str(file))
    assert list(found.arms) == [
        "alone",
        "swept, margin 0.0, lr 0.001",
        "swept, margin 0.0, lr 0.0001",
        "swept, margin 0.1, lr 0.001",
        "swept, margin 0.1, lr 0.0001",
    ]
    assert found.baseline == "swept, margin 0.0, lr 0.001"
    last = found.config("swept, margin 0.1, lr 0.0001", 3, tmp_path).to_json()
    assert (last["margin"], last["lr"], last["seed"]) == (0.1, 1e-4, 3)
    assert found.config("alone", 0, tmp_path).save.eval_shards == ("y", "z")
    assert found.sweeps["swept, margin 0.1, lr 0.001"].values == {"margin": 0.1, "lr": 1e-3}


def test_an_arm_that_diverges_is_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 12, "test": 6})
    file, out = tmp_path / "arms.toml", tmp_path / "out"
    file.write_text(
        f"""
        shards = "{shards}"
        seeds = [0, 1]
        [common]
        steps = 4
        batch_size = 4
        num_frames = 2
        weights = "none"
        warmup = 0.0
        [arms.good]
        [arms.explodes]
        lr = 1e30
        """
    )
    assert run_compare(str(file), out=str(out), jobs=1) == 0
    found = json.loads((out / "comparison.json").read_text())
    assert found["explodes"]["runs"] == "2 of 2 diverged"
    assert set(found["explodes"]["diverged"]) == {"0", "1"}
    assert "NaN or infinite at step" in found["explodes"]["diverged"]["0"]
    assert len(found["good"]["t→v R@1 %"]["values"]) == 2
    assert "2 of 2 diverged" in (out / "comparison.html").read_text()
    assert capsys.readouterr().out.count("explodes") >= 1
    written = (out / "explodes-seed0/nonfinite.json").stat().st_mtime_ns
    assert run_compare(str(file), out=str(out), jobs=1) == 0
    assert (out / "explodes-seed0/nonfinite.json").stat().st_mtime_ns == written


def test_steps_are_told_while_runs_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 12, "test": 6})
    settings = {"steps": 40, "batch_size": 4, "num_frames": 2, "weights": "none"}
    file = tmp_path / "arms.json"
    file.write_text(
        json.dumps({"shards": str(shards), "seeds": [0], "common": settings, "arms": {"a": {}}})
    )
    told: list[object] = []

    class Kept(Shown):
        def step(self, step: Step) -> None:
            told.append(step)

        def done(self, arm: str, seed: int, run: object) -> None:
            told.append((arm, seed))

    run_comparison(read_comparison(str(file)), tmp_path / "out", shown=Kept())
    assert told[-1] == ("a", 0)
    first = told[0]
    assert isinstance(first, Step)
    assert (first.arm, first.seed, first.step, first.num_steps) == ("a", 0, 1, 40)


def test_seeds_of_run_are_runs_and_one_table(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 12, "test": 6})
    config = TrainConfig.of(
        shards=str(shards),
        out=str(tmp_path / "out"),
        seed=5,
        steps=2,
        batch_size=4,
        num_frames=2,
        weights="none",
        tensorboard=False,
    )
    assert run_seeds(config, 2, overwrite=False) == 0
    for seed in (5, 6):
        folder = tmp_path / f"out/run-seed{seed}"
        told = json.loads((folder / "config.json").read_text())["config"]
        assert (told["seed"], told["steps"], told["weights"]) == (seed, 2, "none")
        assert (folder / "report.html").is_file()
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    assert len(found["run"]["t→v R@1 %"]["values"]) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shards = 'x'\n[arms.a]\nmargin = []", r"margin is \[\]"),
        ("shards = 'x'\n[arms.a]\nmargin = [0.1, 0.1]", "different"),
        ("shards = 'x'\n[arms.a]\nmargin = [0.1, 'x']", "margin is 'x'"),
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


@pytest.mark.parametrize("name", ["ablation", "meta_variants", "demo_arms", "plain_arms"])
def test_the_comparisons_of_the_benchmarks_can_be_read(name: str) -> None:
    found = read_comparison(str(Path(__file__).parents[3] / f"benchmarks/{name}.toml"))
    assert found.baseline in found.arms
    assert len({str(settings) for settings in found.arms.values()}) == len(found.arms)
