"""The configuration of one training run, composed of what its parts need.

Each part is defined beside what it configures; every default is written there, once.
"""

from __future__ import annotations

from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_train.checked import checked
from mama_train.data.config import DataConfig
from mama_train.models.config import ModelConfig
from mama_train.objective.config import MarginLoss, MetaConfig, Weighting
from mama_train.run.config import ComputeConfig, OptimConfig, SaveConfig, WatchConfig
from mama_train.settings import Setting, by_flat_name, flat, make, parse
from mama_train.tasks.config import TaskConfig

WEIGHTS = "Weights and meta step"
FREE_TO_CHANGE = (
    "out",
    "device",
    "num_workers",
    "prefetch_factor",
    "cache_bytes",
    "keep",
    "shards",
)
"""Settings that may differ when a run is resumed; the shards are compared by what they hold."""


@checked
class TrainConfig:
    """What `mama-train run` does. docs/train-run.md says when to change what."""

    shards: str = field(metadata=option(positional=True))
    """The output of `mama-augment balance`."""
    out: str = "runs/default"
    """Folder of this run."""
    steps: Annotated[int, Gt(0)] | None = None
    """Length of the run in steps; by default, --epochs decides."""
    epochs: Annotated[int, Gt(0)] = 10
    """Length of the run in epochs; an epoch visits every kept caption once."""
    seed: int = 0
    """Decides the order of the data, the augmentation and the initial weights."""
    task: TaskConfig = field(default=TaskConfig(), metadata=option(panel="Task"))
    data: DataConfig = field(default=DataConfig(), metadata=option(panel="Data"))
    model: ModelConfig = field(default=ModelConfig(), metadata=option(panel="Model"))
    loss: MarginLoss = field(default=MarginLoss(), metadata=option(panel="Loss"))
    weighting: Weighting = field(default=Weighting(), metadata=option(panel=WEIGHTS))
    meta: MetaConfig = field(default=MetaConfig(), metadata=option(panel=WEIGHTS))
    optim: OptimConfig = field(default=OptimConfig(), metadata=option(panel="Optimizer"))
    compute: ComputeConfig = field(default=ComputeConfig(), metadata=option(panel="Where it runs"))
    save: SaveConfig = field(default=SaveConfig(), metadata=option(panel="What is kept"))
    watch: WatchConfig = field(default=WatchConfig(), metadata=option(panel="What is kept"))

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}; give a number that fits into 64 bits")

    @classmethod
    def of(cls, **given: Any) -> TrainConfig:
        """A config of settings by flat name (`lr=1e-3`), by dotted name, or in tables of parts
        (`optim={"lr": 1e-3}`); what is not given has its default.

        Raises:
            InputError: a name does not exist, or a value is not allowed.
        """
        return make(cls, flat(given, settings()), settings())

    def to_json(self) -> dict[str, Any]:
        """The value of every setting by flat name; `of` takes it back."""
        found: dict[str, Any] = {}
        for name, setting in settings().items():
            value: Any = self
            for part in setting.path:
                value = getattr(value, part)
            found[name] = value
        return found

    def changed_since(self, earlier: TrainConfig) -> list[str]:
        """Settings that differ, in words, but for those that may."""
        before = earlier.to_json()
        return [
            f"{name} was {before[name]!r}, now {value!r}"
            for name, value in self.to_json().items()
            if value != before[name] and name not in FREE_TO_CHANGE
        ]

    def run_folder(self) -> Path:
        """`out` as a path."""
        return Path(self.out)


@cache
def settings() -> dict[str, Setting]:
    """All settings of a run by flat name."""
    return by_flat_name(TrainConfig)


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """Values by flat name of the `name=value` texts of `--set`.

    Raises:
        InputError: one has no such form, no such name, or no value of its type.
    """
    return parse(texts, settings())
