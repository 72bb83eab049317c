"""What changes while a run trains: its progress, and everything that has tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from mama_train.data.loader import Position
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.weighting import WeightNet
from mama_train.run.optim import MovingAverage

T = TypeVar("T")


@dataclass
class Progress:
    """How far a run is: what changes from step to step besides tensors.

    seconds: time spent until here, evaluations and checkpoints included, without steps that were
    lost; num_samples: rows of the steps taken. running_angle: λ̄ of the margin's running rule.
    """

    step: int = 0
    seconds: float = 0.0
    num_samples: int = 0
    data: Position = field(default_factory=Position)
    meta: Position = field(default_factory=Position)
    best_score: float | None = None
    best_step: int | None = None
    running_angle: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trainee:
    """Everything that training changes."""

    model: DualEncoder
    tokenizer: TextTokenizer
    optimizer: torch.optim.Optimizer
    net: WeightNet
    net_optimizer: torch.optim.Optimizer
    average: MovingAverage | None

    def with_average(self, work: Callable[[], T]) -> T:
        """Run `work` with the moving average in the model's place, where the run keeps one."""
        if self.average is None:
            return work()
        parameters = list(self.model.named_parameters())
        self.average.swap(parameters)
        try:
            return work()
        finally:
            self.average.swap(parameters)
