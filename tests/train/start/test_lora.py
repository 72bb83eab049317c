"""Adapters: what is trained, the meta step's exactness, merging, resuming."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig
from mama_train.models.config import ModelConfig
from mama_train.objective.config import MarginLoss
from mama_train.objective.meta import VirtualStep, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.run import checkpoint
from mama_train.run.history import read_history
from mama_train.run.loop import train
from mama_train.run.setup import prepare
from mama_train.run.watch import Watch
from mama_train.start.lora import (
    ADAPTER,
    add_adapters,
    has_adapters,
    load_merged,
    merged_tensors,
    plain_name,
)
from tests.train.conftest import random_batch, tiny_model
from tests.train.features_helper import write_feature_shards
from tests.train.objective.test_meta import adamw, covering, relative_error, weigher

pytest.importorskip("peft")
SIZES = {"train": 24, "meta": 12, "val": 6, "test": 6}


def adapted(new: tuple[str, ...] = (), **changes: Any) -> Any:
    """The tiny CLIP-ViP with adapters that do something."""
    model = tiny_model()
    settings = ModelConfig(**{"lora": 2, "lora_alpha": 3, **changes})
    model.freeze(settings.frozen_towers)
    names = add_adapters(model, settings, list(new))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ADAPTER in name:
                parameter.normal_(std=0.3)
    assert names
    return model.double()


def trained(model: Any) -> set[str]:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def test_adapters_and_the_scale_are_all_that_is_trained() -> None:
    names = trained(adapted())
    assert {n for n in names if ADAPTER not in n} == {"logit_scale"}
    assert len(names) == 1 + 2 * 2 * 2 * 2  # towers, blocks, queries and values, A and B


def test_targets_are_chosen_for_each_tower() -> None:
    model = adapted(lora_vision="fc1", lora_text="")
    names = trained(model)
    assert {n.split(".")[0] for n in names if ADAPTER in n} == {"vision_model"}
    assert all(".mlp.fc1." in n for n in names if ADAPTER in n)
    text = {n for n, _ in model.named_parameters() if n.startswith("text_")}
    assert text <= names  # a tower without targets is trained as a whole
    frozen = trained(adapted(freeze="text"))
    assert {n.split(".")[0] for n in frozen} == {"vision_model", "logit_scale"}


def test_what_starts_anew_is_trained_beside_adapters() -> None:
    new = "vision_model.embeddings.added_cls"
    assert new in trained(adapted(new=(new,)))


def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="lora_text has 'q_prj', but ClipVip: did you mean 'q_pro"):
        adapted(lora_text="q_prj")
    with pytest.raises(InputError, match="finds no tower to adapt"):
        adapted(freeze="vision,text")
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'mama-video\[lora\]'"):
        adapted()


def test_the_merged_model_computes_the_same() -> None:
    model, batch = adapted(), random_batch(1)
    plain = tiny_model()
    before = plain(*batch.model_input())
    plain.load_state_dict(merged_tensors(model))
    expected = model(*batch.model_input())
    for found, wanted, old in zip(plain(*batch.model_input()), expected, before, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
        assert (wanted - old).abs().max() > 1e-2
    fresh = adapted()
    load_merged(fresh, merged_tensors(model))
    for found, wanted in zip(fresh(*batch.model_input()), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("update", [None, ("lately", None), ("never", 0.1)])
@pytest.mark.parametrize(("chunk", "tape"), [(None, True), (None, False), (4, False)])
def test_the_meta_step_is_exact(update: Any, chunk: int | None, tape: bool) -> None:
    model = adapted()
    reference = Objective(model, MarginLoss(margin=0.3))
    step = VirtualStep(lr=0.05, update=None if update is None else adamw(reference, *update))
    batch, meta_batch, weigh = covering(random_batch(1)), random_batch(2, 4), weigher()
    expected = unrolled_meta_gradient(reference, batch, meta_batch, weigh, step)[0]
    objective = Objective(model, MarginLoss(margin=0.3), chunk=chunk)
    encoded = objective.encode(batch, for_jvp=tape)
    found = meta_gradient(objective, encoded, meta_batch, weigh, step)
    assert relative_error(found.theta_gradient, expected) < 1e-10


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_shards(tmp_path_factory.mktemp("shards"), SIZES, noise=0.3)


def config(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {"model": "heads", "steps": 6, "batch_size": 12, "lr": 1e-2}
    fields |= {"tensorboard": False, "meta_every": 2, "eval_every": 3, "save_every": 3, "lora": 2}
    fields |= {"lora_vision": "0,2", "lora_text": "0,2"}
    return TrainConfig.of(**fields | changes, shards=str(shards), out=str(out))


class CtrlC(Watch):
    """Presses it after the fourth step."""

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        if row["step"] == 4:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}])
def test_a_run_resumes_and_its_checkpoint_is_a_plain_model(
    shards: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = train(config(shards, tmp_path / "whole", **changes))
    with pytest.raises(KeyboardInterrupt):
        train(config(shards, tmp_path / "parts", **changes), watch=CtrlC())
    parts = train(config(shards, tmp_path / "parts", **changes))
    assert read_history(tmp_path / "parts") == read_history(tmp_path / "whole")
    assert parts.metrics["test"] == whole.metrics["test"]

    model = checkpoint.load_model(whole.out)[0]
    assert not has_adapters(model)
    start = prepare(config(shards, tmp_path / "other", **changes)).trainee.model
    at_start = {plain_name(n): p for n, p in start.named_parameters()}
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, at_start[n])}
    heads = {f"{side}_head.{i}.weight" for side in ("video", "text") for i in (0, 2)}
    assert moved == heads | {"logit_scale"}
    delta = (model.get_parameter("video_head.0.weight") - at_start["video_head.0.weight"]).detach()
    assert torch.linalg.matrix_rank(delta, atol=1e-5) <= 2


def test_adapters_have_the_learning_rate_of_what_starts_anew(shards: Path, tmp_path: Path) -> None:
    setup = prepare(config(shards, tmp_path / "run", lr_new=10.0))
    assert any("learning rates from 0.01 to 0.1" in note for note in setup.notes)
    assert any("all but adapters of rank 2" in note for note in setup.notes)
