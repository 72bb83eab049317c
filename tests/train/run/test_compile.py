"""Compiled encoders: the losses of the run without, and a word where nothing is compiled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig
from mama_train.objective.config import MarginLoss
from mama_train.objective.objective import Objective
from mama_train.run.history import read_history
from mama_train.run.loop import train
from mama_train.run.setup import prepare
from tests.train.conftest import random_batch, tiny_model
from tests.train.features_helper import write_feature_shards

SIZES = {"train": 24, "meta": 12, "val": 6, "test": 6}
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("gcc", "g++", "clang"))), reason="no C compiler"
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_shards(tmp_path_factory.mktemp("shards"), SIZES, noise=0.3)


def config(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {"model": "heads", "steps": 4, "batch_size": 12, "lr": 1e-2}
    fields |= {"tensorboard": False, "compile": True}
    return TrainConfig.of(**fields | changes, shards=str(shards), out=str(out))


def test_what_cannot_be_compiled_is_refused_and_meta_steps_are_named(
    shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="every step has a forward-mode pass"):
        prepare(config(shards, tmp_path / "a", meta_every=1))
    with pytest.raises(InputError, match="compile is not for rows_per_pass"):
        prepare(config(shards, tmp_path / "b", rows_per_pass=4))
    notes = prepare(config(shards, tmp_path / "c", meta_every=3)).notes
    assert "compiled: 2 of 3 steps; meta steps and evaluation are not" in notes


def test_a_pass_is_compiled_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[None] = []

    def compile(model: Any) -> Any:
        def run(*inputs: Any) -> Any:
            called.append(None)
            return model(*inputs)

        return run

    monkeypatch.setattr(torch, "compile", compile)
    objective = Objective(tiny_model(), MarginLoss(), compile=True)
    batch = random_batch(1)
    objective.encode(batch)
    objective.encode(batch, for_jvp=True)
    objective.mean_gradient_at(objective.parameters(), batch)
    assert called == []
    objective.encode(batch, compiled=True)
    assert called == [None]


@needs_compiler
@pytest.mark.slow
def test_losses_are_those_of_the_run_that_is_not_compiled(shards: Path, tmp_path: Path) -> None:
    found = {}
    for name, changes in (("plain", {"compile": False}), ("compiled", {})):
        train(config(shards, tmp_path / name, meta_every=2, **changes))
        rows = [r for r in read_history(tmp_path / name) if r["kind"] == "step"]
        found[name] = [r["loss"] for r in rows]
        assert [r["step"] for r in rows if "meta_loss" in r] == [1, 3]
    assert len(found["plain"]) == 4
    assert found["compiled"] == pytest.approx(found["plain"], rel=1e-4)


@needs_compiler
@pytest.mark.slow
def test_the_gradient_of_clip_vip_is_that_of_the_pass_that_is_not_compiled() -> None:
    model = tiny_model(dtype=torch.float32)
    batch = random_batch(1, dtype=torch.float32)
    objective = Objective(model, MarginLoss(), compile=True)
    weight_B = torch.full((6,), 1 / 6)
    plain = objective.gradient(objective.encode(batch), weight_B)
    encoded = objective.encode(batch, compiled=True)
    # The last time, as a step does it: compiled passes give their buffers away on the way back.
    compiled = objective.gradient(encoded, weight_B, last=True)
    for name, gradient in plain.items():
        torch.testing.assert_close(compiled[name], gradient, rtol=1e-3, atol=1e-5)
