"""Schedules and groups: which learning rate every step and every parameter has."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train.models.clip_vip import ClipVip
from mama_train.models.heads import Heads, HeadsConfig
from mama_train.models.small import small_config
from mama_train.models.weights import MAY_BE_NEW
from mama_train.run.config import OptimConfig
from mama_train.run.optim import (
    lr_at,
    lr_scales,
    make_optimizer,
    num_warmup_steps,
    set_lr,
    settled,
)
from tests.train.conftest import tiny_model


def rates(num_steps: int, **changes: Any) -> list[float]:
    """The learning rates of a run with a peak of 2."""
    optim = OptimConfig(lr=2.0, **changes)
    return [lr_at(step, num_steps, optim) for step in range(num_steps)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_warm_up_is_a_line_to_the_peak(schedule: Any) -> None:
    assert rates(10, warmup=4.0, schedule=schedule)[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates(10, warmup=0.4, schedule=schedule) == rates(10, warmup=4.0, schedule=schedule)
    assert rates(10, warmup=0.0, schedule=schedule)[0] == 2.0


def test_shares_of_the_steps_are_below_one_and_steps_are_whole() -> None:
    assert num_warmup_steps(OptimConfig(warmup=0.99), 10) == 9
    assert num_warmup_steps(OptimConfig(warmup=1.0), 10) == 1
    assert num_warmup_steps(OptimConfig(warmup=30.0), 10) == 30
    with pytest.raises(InputError, match=r"warmup is 2\.5; give a share below 1, or a whole"):
        OptimConfig(warmup=2.5)


def test_a_run_shorter_than_its_warm_up_only_rises() -> None:
    assert rates(3, warmup=4.0) == [0.5, 1.0, 1.5]


def test_what_follows_the_peak() -> None:
    cosine = rates(12, warmup=2.0)
    assert cosine[2:] == [1 + math.cos(math.pi * i / 10) for i in range(10)]
    assert rates(12, warmup=2.0, schedule="linear")[2:] == pytest.approx(
        [2 * (1 - i / 10) for i in range(10)]
    )
    assert set(rates(12, warmup=2.0, schedule="constant")[2:]) == {2.0}


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_floor_is_where_the_fall_would_end(schedule: Any) -> None:
    optim = OptimConfig(lr=2.0, schedule=schedule, lr_floor=0.25, warmup=0.0)
    assert lr_at(100, 100, optim) == 0.5
    assert lr_at(0, 100, optim) == 2.0
    assert lr_at(50, 100, optim) == pytest.approx(1.25)
    falls = rates(100, schedule=schedule, lr_floor=0.25, warmup=0.0)
    assert falls == sorted(falls, reverse=True)
    assert falls[-1] > 0.5
    assert set(rates(9, schedule=schedule, lr_floor=1.0, warmup=0.0)) == {2.0}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_a_run_of_one_step_takes_it(schedule: Any) -> None:
    assert rates(1, schedule=schedule) == [2.0]
    assert min(rates(7, schedule=schedule)) > 0


def learning_rates(optim: OptimConfig, new: tuple[str, ...] = ()) -> dict[str, tuple[float, float]]:
    """(learning rate at half the peak, weight decay) by name."""
    model = tiny_model()
    optimizer = make_optimizer(model, optim, lr_scales(model, optim, new))
    assert optim.lr is not None
    set_lr(optimizer, optim.lr / 2)
    name_of = {id(p): n for n, p in model.named_parameters()}
    groups = optimizer.param_groups
    found = {name_of[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert set(found) == set(name_of.values())
    return found


def test_all_parameters_have_one_learning_rate_by_default() -> None:
    rates = learning_rates(OptimConfig(lr=2.0), MAY_BE_NEW)
    assert {lr for lr, _ in rates.values()} == {1.0}
    assert len(make_optimizer(tiny_model(), OptimConfig(lr=2.0)).param_groups) == 2


def test_lower_blocks_learn_more_slowly_and_new_parts_by_their_own_rate() -> None:
    optim = OptimConfig(lr=2.0, layer_decay=0.5, lr_new=10.0, weight_decay=0.1)
    rates = learning_rates(optim, MAY_BE_NEW)
    for side in ("text", "vision"):
        layers = f"{side}_model.encoder.layers"
        assert rates[f"{layers}.1.mlp.fc1.weight"] == (0.5, 0.1)
        assert rates[f"{layers}.0.mlp.fc1.weight"] == (0.25, 0.1)
        assert rates[f"{layers}.0.mlp.fc1.bias"] == (0.25, 0.0)
        assert rates[f"{side}_model.embeddings.position_embedding.weight"] == (0.125, 0.0)
    assert rates["text_projection.weight"] == rates["visual_projection.weight"] == (1.0, 0.1)
    assert rates["logit_scale"] == (1.0, 0.0)
    assert [rates[name][0] for name in MAY_BE_NEW] == [10.0, 10.0]


def test_frozen_parameters_are_in_no_group() -> None:
    model = tiny_model()
    model.freeze(["vision", "text"])
    groups = make_optimizer(model, OptimConfig(lr=2.0)).param_groups
    assert [group["params"] for group in groups] == [[model.logit_scale]]


def test_adamw_moves_each_parameter_by_its_own_rate() -> None:
    """The first step of AdamW is as long as the learning rate."""
    optim = OptimConfig(lr=1e-3, layer_decay=0.5, weight_decay=0.0)
    model = tiny_model()
    optimizer = make_optimizer(model, optim, lr_scales(model, optim, ()))
    set_lr(optimizer, 1e-3)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        moved = float((before[name] - parameter.detach()).mean())
        assert moved == pytest.approx(1e-3 * 0.5 ** model.depth_of(name), rel=1e-4), name


def test_the_usual_learning_rate_is_that_of_the_model() -> None:
    heads = Heads(HeadsConfig(width=3, vocab_size=9))
    for model, lr in ((ClipVip(small_config(9)), 1e-3), (heads, 1e-3), (tiny_model(), 1e-5)):
        assert settled(OptimConfig(), model).lr == lr
        assert settled(OptimConfig(lr=0.5), model).lr == 0.5
