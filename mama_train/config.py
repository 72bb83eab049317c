"""The configuration of one training run; every default is written here, once."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mama_augment.core.errors import InputError

if TYPE_CHECKING:  # so that `mama-train --help` need not wait for torch
    import torch

    from mama_train.objective.losses import BelowKind, MarginKind, MarginLoss
    from mama_train.objective.weighting import Weighting, WeightKind

Sources = Literal["all", "human", "generated"]
VisitKind = Literal["caption", "clip"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What `mama-train run` does. See docs/training.md for when to change what.

    Data: shards, sources, human_share (share of human captions among the visits; None takes them
    as they come), visit, batch_size (all processes together), augment (strength of zoom, shift and
    brightness, and choice of frames at random; 0: none), num_workers, window_clips.
    Length: steps, or epochs when steps is None.
    Loss: margin (radians), margin_kind, below. Weights: weights, normalised, weight_lr.
    Meta step: meta_every (steps), meta_batch_size (None: batch_size), meta_layers (blocks of each
    tower that take the virtual step; None: all), lagged (real step at the weights of before the
    meta step: one backward pass fewer).
    Memory: rows_per_pass (GradCache: rows encoded at once), gradient_checkpointing, precision.
    Optimizer: AdamW with lr (None: 1e-3 for `small`, 1e-5 for given weights), weight_decay, betas,
    warmup (share of the steps), clip_norm; max_logit_scale bounds the inverse temperature.
    ema_decay: None trains without an average.
    Saving: eval_every and save_every count steps; None means once per epoch.
    """

    shards: str
    out: str = "runs/default"
    model: str = "small"
    num_frames: int | None = None
    sources: Sources = "all"
    human_share: float | None = None
    visit: VisitKind = "caption"
    steps: int | None = None
    epochs: int = 10
    batch_size: int = 32
    augment: float = 0.1
    num_workers: int = 0
    window_clips: int = 1024
    margin: float = 0.05
    margin_kind: MarginKind = "subtractive"
    below: BelowKind = "clamp"
    weights: WeightKind = "mlp-meta"
    normalised: bool = True
    weight_lr: float = 1e-2
    meta_every: int = 4
    meta_batch_size: int | None = None
    meta_layers: int | None = None
    lagged: bool = False
    rows_per_pass: int | None = None
    gradient_checkpointing: bool = False
    precision: Precision = "fp32"
    lr: float | None = None
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.98
    warmup: float = 0.1
    clip_norm: float = 1.0
    max_logit_scale: float = 100.0
    ema_decay: float | None = None
    eval_every: int | None = None
    save_every: int | None = None
    tensorboard: bool = True
    wandb: bool = False
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), str(field.type))
        _positive(self, "batch_size", "epochs", "window_clips", "meta_every", "lr", "weight_lr")
        _positive(self, "clip_norm", "steps", "meta_batch_size", "meta_layers", "rows_per_pass")
        _positive(self, "num_frames", "eval_every", "save_every")
        _one_of("precision", self.precision, get_args(Precision))
        _one_of("visit", self.visit, get_args(VisitKind))
        _one_of("sources", self.sources, get_args(Sources))
        if self.batch_size < 2:
            raise InputError(f"batch size {self.batch_size} leaves no negatives; give at least 2")
        if self.meta_batch_size == 1:
            raise InputError("meta batch size 1 leaves no negatives; give at least 2")
        if self.human_share is not None and not 0 <= self.human_share <= 1:
            raise InputError(f"human share {self.human_share} is not between 0 and 1")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise InputError(f"EMA decay {self.ema_decay} is not between 0 and 1")
        if not 0 <= self.augment <= 0.5:
            raise InputError(f"augment {self.augment} is not between 0 (none) and 0.5")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warm-up {self.warmup} is not a share of the steps in [0, 1)")
        _below_one(self, "beta1", "beta2")
        _at_least(self, 0, "num_workers", "weight_decay")
        _at_least(self, 1, "max_logit_scale")
        if not -(2**63) <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}; give a number that fits into 64 bits")
        self.loss()
        self.weighting()

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up: from nothing large, from given weights small."""
        if self.lr is not None:
            return self.lr
        return 1e-3 if self.model == "small" else 1e-5

    def loss(self) -> MarginLoss:
        from mama_train.objective.losses import MarginLoss

        return MarginLoss(kind=self.margin_kind, margin=self.margin, below=self.below)

    def weighting(self) -> Weighting:
        from mama_train.objective.weighting import Weighting

        return Weighting(kind=self.weights, normalised=self.normalised)

    def torch_device(self) -> torch.device:
        """Raises InputError for a device that does not exist, or not here."""
        import torch

        try:
            device = torch.device(self.device if self.device != "auto" else _best_device())
        except RuntimeError as error:
            raise InputError(
                f"device {self.device!r} is unknown; allowed: auto, cpu, cuda, cuda:N"
            ) from error
        if device.type == "cuda" and device.index is None:
            # Under torchrun every process of a machine has a GPU of its own.
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.type == "cuda":
            _check_gpu(self.device, device.index)
        return device

    def autocast(self) -> torch.dtype | None:
        import torch

        return torch.bfloat16 if self.precision == "bf16" else None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> TrainConfig:
        """Raises InputError for a field that does not exist."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise InputError(
                f"unknown settings {', '.join(unknown)}; allowed: {', '.join(sorted(known))}"
            )
        return cls(**fields)

    @classmethod
    def parse_settings(cls, settings: list[str]) -> dict[str, Any]:
        """`name=value` texts to fields of the right type.

        Raises:
            InputError: one has no such form, no such name, or no value of its type.
        """
        fields = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        found: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            name = name.strip().replace("-", "_")
            if not equals or name not in fields:
                raise InputError(
                    f"--set {setting!r}: give name=value; names: {', '.join(sorted(fields))}"
                )
            found[name] = _parse(setting, text.strip(), fields[name])
        return found

    def changed_since(self, earlier: TrainConfig) -> list[str]:
        """Settings other than where the run lies that differ, in words."""
        before = earlier.to_json()
        return [
            f"{name} was {before[name]!r}, now {value!r}"
            for name, value in self.to_json().items()
            if value != before[name] and name not in ("out", "device", "num_workers", "shards")
        ]

    def run_folder(self) -> Path:
        return Path(self.out)


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _check_type(name: str, value: Any, kind: str) -> None:
    """Values also come from files and from Python, where nothing has looked at them yet."""
    base = kind.removesuffix(" | None")
    if value is None and base != kind:
        return
    if base == "bool":
        wanted, is_right = "true or false", isinstance(value, bool)
    elif base == "int":
        wanted, is_right = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    elif base == "float":
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        wanted, is_right = "a finite number", is_number and math.isfinite(value)
    else:
        wanted, is_right = "a text", isinstance(value, str)
    if not is_right:
        raise InputError(f"{name} is {value!r}; give {wanted}")


def _positive(config: TrainConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise InputError(f"{name} is {value}; give a number above 0")


def _at_least(config: TrainConfig, least: int, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise InputError(f"{name} is {value}; give at least {least}")


def _below_one(config: TrainConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; give a number from 0 to below 1")


def _check_gpu(asked: str, index: int) -> None:
    import torch

    if not torch.cuda.is_available():
        raise InputError(f"device {asked!r}: torch finds no CUDA GPU here; give auto or cpu")
    if index >= (num := torch.cuda.device_count()):
        raise InputError(f"device {asked!r}: there is no GPU {index}; allowed: 0 to {num - 1}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} {value!r} is unknown; allowed: {', '.join(allowed)}")


def _parse(setting: str, text: str, kind: str) -> Any:
    if text.lower() == "none" and "None" in kind:
        return None
    try:
        if kind.startswith("bool"):
            return {"true": True, "false": False}[text.lower()]
        if kind.startswith(("int", "float")):
            return int(text) if kind.startswith("int") else float(text)
    except (ValueError, KeyError):
        raise InputError(f"--set {setting!r}: the value is not of type {kind}") from None
    return text
