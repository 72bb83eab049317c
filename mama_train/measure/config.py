"""What is measured, and where; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mama_augment.core.fields import option

Protocol = Literal["own", "published"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A checkpoint and what it is measured on."""

    checkpoint: str = field(metadata=option(positional=True))
    """A checkpoint, a run (its best checkpoint is taken), or any model that --model takes: it is
    measured as it is."""
    shards: str = field(metadata=option(positional=True))
    """The output of `mama-augment balance`."""
    split: str = "test"
    """Which split: train, meta, val or test."""
    num_frames: int | None = None
    """Frames per clip; by default, as many as in training."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
