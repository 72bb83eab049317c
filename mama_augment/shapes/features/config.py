"""What a world of features holds; imports nothing heavy, so that `--help` can show the defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from mama_augment.core.errors import InputError
from mama_augment.shapes.shards.config import ShardsWorldConfig


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig(ShardsWorldConfig):
    """What a world of features holds."""

    usual_num_train: ClassVar[int] = 4000

    feature_dim: int = 64
    """Numbers per vector."""
    feature_noise: float = 0.8
    """Standard deviation of the noise in vectors; what those of a scene share is within ±1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feature_dim < 1:
            raise InputError(f"feature_dim is {self.feature_dim}: at least 1 is needed")
        if not 0 <= self.feature_noise < math.inf:
            raise InputError(f"feature_noise is {self.feature_noise}: allowed: 0 or more")
