"""Shipped settings: each exists in the program, says where it is from, and small-cpu runs."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from mama_augment.core.shared.settings_file import shipped_configs
from mama_train.config import TrainConfig
from mama_train.recipes import CONFIGS, about
from tests.train.program import call
from tests.train.shards_helper import write_shards

RECIPES = ("mama-paper-msrvtt", "clip-vip-msrvtt", "didemo", "activitynet", "small-cpu")


def text_of(name: str) -> str:
    return (resources.files(CONFIGS) / f"{name}.toml").read_text()


def settings_of(name: str) -> dict[str, Any]:
    return tomllib.loads(text_of(name))["run"]


def test_all_recipes_ship() -> None:
    assert set(RECIPES) <= set(shipped_configs(CONFIGS))


@pytest.mark.parametrize("name", shipped_configs(CONFIGS))
def test_every_setting_is_one_that_a_run_has(name: str) -> None:
    settings = settings_of(name)
    config = TrainConfig.of(shards="s", **settings).to_json()
    assert {k: config[k] for k in settings} == settings
    assert about(text_of(name)).endswith(".")


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_says_where_it_is_from(name: str) -> None:
    lines = [line for line in text_of(name).splitlines() if "=" in line and line[0] not in "#["]
    assert len(lines) == len(settings_of(name))
    for line in lines:
        assert re.search(r"  # \S+", line) or line.startswith(("margin_kind", "weights")), line


def test_what_the_papers_recipes_have_to_say() -> None:
    paper = TrainConfig.of(shards="s", **settings_of("mama-paper-msrvtt"))
    assert (paper.loss.region, paper.loss.margin, paper.loss.kind) == ("acute", 0.2, "subtractive")
    assert (paper.meta.every, paper.weighting.output, paper.weighting.hidden) == (1, "sigmoid", 64)
    assert TrainConfig.of(shards="s", **settings_of("activitynet")).model.num_frames == 32
    assert "not stated by the paper" in text_of("mama-paper-msrvtt")


def test_they_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("configs") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RECIPES)
    assert call("configs", "didemo") == 0
    assert capsys.readouterr().out.strip() == text_of("didemo").strip()
    assert call("configs", "didem") == 2
    assert "did you mean 'didemo'" in capsys.readouterr().err


def test_small_cpu_runs(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 40, "meta": 8, "val": 8, "test": 8})
    out = tmp_path / "run"
    words = ("--config", "small-cpu", "--epochs", "1", "--no-tensorboard", "--out", str(out))
    assert call("run", str(shards), *words) == 0
    assert (out / "metrics.json").is_file()
    assert '"weights": "mlp-meta"' in (out / "metrics.json").read_text()
