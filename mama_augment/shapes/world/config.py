"""What a shapes world holds; imports nothing heavy, so that `--help` can show the defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option

SCENES = ("many", "few")
CLEAN_SPLITS = ("meta", "val", "test")
"""Their captions are right and their scenes balanced over the concepts."""
FEW_CLEAN = {"meta": 108, "val": 48, "test": 96}
"""Videos of these splits in a world of few scenes: each scene of meta once, of the others twice."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """What a world holds. `meta`, `val` and `test` are numbers of videos (int) or shares of
    `num_videos` (float); a world of few scenes has `FEW_CLEAN` in place of shares."""

    seed: int = 0
    """Another seed makes another world."""
    num_videos: int = 500
    """Train videos; meta, val and test come on top."""
    meta: int | float = field(default=0.12, metadata=option(hidden=True))
    val: int | float = field(default=0.12, metadata=option(hidden=True))
    test: int | float = field(default=0.4, metadata=option(hidden=True))
    scenes: str = field(default="many", metadata=option(choices=SCENES))
    """many: 40 coloured shapes, filmed with cuts, shakes and tilts. few: 6 of them, in one shot by
    a still camera, told in one wording, and test scenes that train never shows: what tells methods
    apart in a few minutes of training."""
    noise_rate: float = 0.4
    """Share of train videos that carry the caption of another scene."""
    zipf_exponent: float = 1.1
    """Imbalance of the concepts among train videos; 0 is uniform."""

    def __post_init__(self) -> None:
        check_choice("scenes", self.scenes, SCENES)
        if self.num_videos < 1:
            raise InputError(f"num_videos is {self.num_videos}: a world needs at least 1")
        for split in CLEAN_SPLITS:
            if getattr(self, split) < 0:
                raise InputError(
                    f"{split} is {getattr(self, split)}: allowed: 0 or more (below 1, a share)"
                )
        if not 0 <= self.noise_rate <= 1:
            raise InputError(f"noise_rate is {self.noise_rate}: allowed: 0 to 1")
        if not 0 <= self.zipf_exponent < math.inf:
            raise InputError(f"zipf_exponent is {self.zipf_exponent}: allowed: 0 (uniform) or more")

    def num_in(self, split: str) -> int:
        """Videos in a split."""
        if split == "train":
            return self.num_videos
        size = getattr(self, split)
        if self.scenes == "few" and isinstance(size, float):
            return FEW_CLEAN[split]
        return size if isinstance(size, int) else round(size * self.num_videos)
