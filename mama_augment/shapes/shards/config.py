"""The dials that all worlds of shards have; imports nothing heavy, so that `--help` is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import ClassVar

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.schema import SPLITS


@dataclass(frozen=True, kw_only=True)
class ShardsWorldConfig:
    """How many clips, how many wrong captions, how uneven."""

    usual_num_train: ClassVar[int]

    seed: int = 0
    """Another seed makes another world."""
    num_train: int | None = field(
        default=None, metadata=option(default_shown="4000, or 2000 plain ones")
    )
    """Train clips."""
    num_meta: int = 200
    """Meta clips; their captions are right and even over the concepts, as in val and test."""
    num_val: int = 200
    """Val clips."""
    num_test: int = 400
    """Test clips; none shows a scene of meta or val."""
    noise_rate: float = 0.4
    """Share of train clips that carry the caption of another scene."""
    zipf_exponent: float = 1.1
    """Imbalance of the concepts among train clips; 0 is uniform."""

    def __post_init__(self) -> None:
        if self.num_train is None:
            object.__setattr__(self, "num_train", self.usual_num_train)
        if self.num_in("train") < 1:
            raise InputError(f"num_train is {self.num_train}: at least 1 is needed")
        for split in SPLITS:
            if self.num_in(split) < 0:
                raise InputError(f"num_{split} is {self.num_in(split)}: allowed: 0 or more")
        if not 0 <= self.noise_rate <= 1:
            raise InputError(f"noise_rate is {self.noise_rate}: allowed: 0 to 1")
        if not 0 <= self.zipf_exponent < math.inf:
            raise InputError(f"zipf_exponent is {self.zipf_exponent}: allowed: 0 or more")

    def num_in(self, split: str) -> int:
        """Clips in a split."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}[f"num_{split}"]
        assert found is not None, "settled when the config is made"
        return int(found)
