"""How many key frames a clip gets, and how they are chosen; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import InputError, check_positive
from mama_augment.core.fields import option
from mama_augment.keyframes.strategies import STRATEGIES

MOST_KEY_FRAMES = 1024
"""A clip's pictures are one row, and lie in memory together."""


@dataclass(frozen=True, kw_only=True)
class KeyFrameConfig:
    """How many key frames a clip gets, and where shots are cut."""

    num_frames: int = field(default=12, metadata=option("--num-frames", "-q"))
    """Key frames per clip (Q); a clip with fewer frames gives all it has."""
    strategy: str = field(default="peaks", metadata=option(choices=tuple(STRATEGIES)))
    """How key frames are chosen."""
    relative_threshold: float = field(default=0.15, metadata=option(hidden=True))
    """A peak is at least this share of the clip's strongest."""
    least_change: float = field(default=3.0, metadata=option(hidden=True))
    """A peak changes the picture by at least this much above its surroundings (luma levels)."""
    sample_fps: float | None = field(default=None, metadata=option(default_shown="all"))
    """For long videos: scan this many frames per second (peaks only)."""
    max_frames_scanned: int | None = field(default=None, metadata=option(default_shown="all"))
    """For long videos: scan at most this many frames of a clip, evenly spread (peaks only)."""
    baseline_frames: int = field(default=31, metadata=option(hidden=True))
    """Window of the running median that is taken for ordinary motion."""
    least_shot_frames: int = field(default=4, metadata=option(hidden=True))
    """Peaks are at least this far apart."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "sample_fps", "max_frames_scanned"):
            value = getattr(self, name)
            if value is not None:
                check_positive(f"--{name.replace('_', '-')}", value)
        if self.num_frames > MOST_KEY_FRAMES:
            raise InputError(f"--num-frames is {self.num_frames}; allowed: 1 to {MOST_KEY_FRAMES}")
        STRATEGIES.check(self.strategy)
