"""Towers: which parameters are of which side, and what freezing one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mama_augment.core.errors import InputError
from mama_train.models.base import DualEncoder
from mama_train.models.clip_vip import ClipVip
from mama_train.models.config import ModelConfig
from mama_train.models.small import small_config
from mama_train.models.towers import TOWERS, TowerKind, parse_towers
from mama_train.start.build import build
from tests.train.conftest import random_batch, tiny_model
from tests.train.models.test_clip_mean import folders
from tests.train.published_helper import KINDS, TEXTS

__all__ = ["folders"]


def all_models(folders: dict[str, Path]) -> list[DualEncoder]:
    given = [build(f"clip-mean:{folders[n]}", TEXTS, seed=0)[0] for n in KINDS]
    return [tiny_model(), ClipVip(small_config(30)), *given]


def test_every_parameter_is_of_one_tower_or_the_scale(folders: dict[str, Path]) -> None:
    for model in all_models(folders):
        towers = model.towers()
        assert set(towers) == set(TOWERS)
        for name, parameter in model.named_parameters():
            num = sum(tower.holds(name) for tower in towers.values())
            is_scale = name in ("logit_scale", "inner.logit_bias")
            assert num == (0 if is_scale else 1), name
            assert parameter.ndim == 0 or is_scale or num


def test_depth_counts_from_the_top(folders: dict[str, Path]) -> None:
    for model in all_models(folders):
        for kind, tower in model.towers().items():
            depths = {n: tower.depth(n) for n, _ in model.named_parameters() if tower.holds(n)}
            assert set(depths.values()) == set(range(4)), kind
            top = f"{tower.blocks}1."
            assert {d for n, d in depths.items() if n.startswith(top)} == {1}
            assert {d for n, d in depths.items() if "embeddings." in n} == {3}
            assert {d for n, d in depths.items() if "_projection" in n} <= {0}
        assert model.depth_of("logit_scale") == 0


def test_upper_names_are_those_of_the_upper_blocks_that_are_trained() -> None:
    model = tiny_model()
    blocks = {n.split(".layers.")[1][0] for n in model.upper_names(1) if ".layers." in n}
    assert blocks == {"1"}
    assert model.upper_names(2) == model.upper_names(9)
    assert not [n for n in model.upper_names(9) if "embeddings." in n]
    model.freeze(["vision"])
    assert {n.split("_")[0] for n in model.upper_names(1)} == {"text", "logit"}


@pytest.mark.parametrize("kind", TOWERS)
def test_a_frozen_tower_has_no_gradient_and_stays_in_evaluation_mode(kind: TowerKind) -> None:
    model = tiny_model()
    for layer in (*model.text_model.encoder.layers, *model.vision_model.encoder.layers):
        layer.add_module("dropout", nn.Dropout(0.5))
    model.freeze([kind])
    tower = model.towers()[kind]
    model.train()
    assert {tower.holds(n) for n, m in model.named_modules() if not m.training} == {True}
    dropouts = {tower.holds(n) for n, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert dropouts == {True, False}
    assert model.training
    assert not any(m.training for m in model.eval().modules())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not tower.holds(name))
    video, text = model(*random_batch(0).model_input())
    assert (video.requires_grad, text.requires_grad) == (kind != "vision", kind != "text")


def test_a_frozen_scale_is_a_constant() -> None:
    model = tiny_model()
    model.freeze([], logit_scale=True)
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["logit_scale"]


def test_mistakes_are_named() -> None:
    assert parse_towers(" text, vision,text") == ("vision", "text")
    assert ModelConfig(freeze="text", lock_image=True).frozen_towers == ("vision", "text")
    with pytest.raises(InputError, match=r"freeze is 'vison', but 'vison': did you mean 'vision'"):
        ModelConfig(freeze="vison")
    with pytest.raises(InputError, match="nothing is left to train"):
        tiny_model().freeze(TOWERS, logit_scale=True)

    class Silent(ClipVip):
        def towers(self) -> dict[TowerKind, object]:  # type: ignore[override]
            return {}

    silent = Silent(small_config(30))
    assert silent.upper_names(1) == [n for n, _ in silent.named_parameters()]
    with pytest.raises(InputError, match="freeze is 'text', but Silent does not say"):
        silent.freeze(["text"])


def test_a_running_mean_of_a_frozen_tower_does_not_move() -> None:
    model = tiny_model(dtype=torch.float32)
    norm = nn.BatchNorm1d(16)
    model.vision_model.encoder.layers[0].add_module("norm", norm)
    model.freeze(["vision"])
    model.train()
    norm(torch.randn(8, 16) + 3)
    assert torch.equal(norm.get_buffer("running_mean"), torch.zeros(16))
