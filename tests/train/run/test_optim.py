"""Schedules and groups: which learning rate every step and every parameter has."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mama_augment.core.errors import InputError
from mama_train.run.config import OptimConfig
from mama_train.run.optim import lr_at, num_warmup_steps


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
