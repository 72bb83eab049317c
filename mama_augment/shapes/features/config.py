"""What a world of features holds; imports nothing heavy, so that `--help` can show the defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """What a world of features holds."""

    seed: int = 0
    """Another seed makes another world."""
    num_train: int = 4000
    """Train clips."""
    num_meta: int = 200
    """Meta clips; their captions are right and even over the concepts, as in val and test."""
    num_val: int = 200
    """Val clips."""
    num_test: int = 400
    """Test clips; no two of the first 400 show the same scene, and none a scene of meta or val."""
    noise_rate: float = 0.4
    """Share of train clips that carry the caption of another scene."""
    zipf_exponent: float = 1.1
    """Imbalance of the concepts among train clips; 0 is uniform."""
    feature_dim: int = 64
    """Numbers per vector."""
    feature_noise: float = 0.8
    """Standard deviation of the noise in vectors; what those of a scene share is within ±1."""

    def __post_init__(self) -> None:
        for name in ("num_train", "feature_dim"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: at least 1 is needed")
        for split in SPLITS:
            if self.num_in(split) < 0:
                raise InputError(f"num_{split} is {self.num_in(split)}: allowed: 0 or more")
        if not 0 <= self.noise_rate <= 1:
            raise InputError(f"noise_rate is {self.noise_rate}: allowed: 0 to 1")
        for name in ("zipf_exponent", "feature_noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}: allowed: 0 or more")

    def num_in(self, split: str) -> int:
        """Clips in a split."""
        return {f.name: getattr(self, f.name) for f in fields(self)}[f"num_{split}"]
