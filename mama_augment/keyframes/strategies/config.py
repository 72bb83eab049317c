"""How many key frames a clip gets, and how they are chosen; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from mama_augment.core.errors import InputError, check_positive
from mama_augment.keyframes.strategies import STRATEGIES

MOST_KEY_FRAMES = 1024
"""A clip's pictures are one row, and lie in memory together."""


@dataclass(frozen=True, kw_only=True)
class KeyFrameConfig:
    """How many key frames a clip gets, and where shots are cut."""

    num_frames: int = 12
    """Q: key frames per clip; a clip with fewer frames gives all it has."""
    strategy: str = "peaks"
    """A name of STRATEGIES."""
    relative_threshold: float = 0.15
    """A peak is at least this share of the clip's strongest."""
    least_change: float = 3.0
    """A peak changes the picture by at least this much above its surroundings (luma levels)."""
    sample_fps: float | None = None
    """`peaks` looks at so many frames a second only; None: at all."""
    max_frames_scanned: int | None = None
    """`peaks` looks at so many frames at most, evenly spread; None: at all."""
    baseline_frames: int = 31
    """Window of the running median that is taken for ordinary motion."""
    least_shot_frames: int = 4
    """Peaks are at least this far apart."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "sample_fps", "max_frames_scanned"):
            value = getattr(self, name)
            if value is not None:
                check_positive(f"--{name.replace('_', '-')}", value)
        if self.num_frames > MOST_KEY_FRAMES:
            raise InputError(f"--num-frames is {self.num_frames}; allowed: 1 to {MOST_KEY_FRAMES}")
        STRATEGIES.check(self.strategy)
