"""What of a video is decoded, within which limits; imports no decoder, so anyone may hold it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mama_augment.core.errors import InputError, check_positive
from mama_augment.core.fields import option

MOST_THREADS = 256
LEAST_SIDE_PX, MOST_SIDE_PX = 16, 8192


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """What one clip may cost; beyond it the clip is rejected or its process killed."""

    max_pixels: int = 8192 * 4608
    """Reject clips whose pictures have more pixels (width x height) than this."""
    time_limit_seconds: float = 600.0
    """Kill a clip that takes longer than this."""
    memory_limit_mb: int = 2048
    """Kill a decoding process that needs more memory than this."""
    num_threads: int = field(default=1, metadata=option(hidden=True))
    """Decoding threads of one process. They speed a single clip up and cost memory; with as many
    workers as processors, one thread each gets the most done."""

    def __post_init__(self) -> None:
        for name in ("max_pixels", "time_limit_seconds", "memory_limit_mb"):
            check_positive(f"--{name.replace('_', '-')}", getattr(self, name))
        if not 1 <= self.num_threads <= MOST_THREADS:
            raise InputError(
                f"--decode-threads is {self.num_threads}; allowed: 1 to {MOST_THREADS}"
            )


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """How key frames are stored."""

    short_side_px: int = 256
    """Scale larger frames down to this short side; smaller ones are never enlarged."""
    jpeg_quality: int = 90
    """JPEG quality of the stored pictures, 1 to 100."""

    def __post_init__(self) -> None:
        if not LEAST_SIDE_PX <= self.short_side_px <= MOST_SIDE_PX:
            raise InputError(
                f"--short-side-px is {self.short_side_px}; allowed: {LEAST_SIDE_PX} to "
                f"{MOST_SIDE_PX}"
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"--jpeg-quality is {self.jpeg_quality}; allowed: 1 to 100")


@dataclass(frozen=True, kw_only=True)
class TrainFramesConfig:
    """A second list of frames for training, of which every visit draws its own."""

    num_frames: int = field(default=0, metadata=option("--train-frames", default_shown="none"))
    """Store so many evenly spaced frames of every clip besides, to train on; a clip with fewer
    gives all it has."""
    short_side_px: int = field(default=224, metadata=option("--train-short-side-px"))
    """The short side of frames to train on; smaller ones are never enlarged."""

    def __post_init__(self) -> None:
        if self.num_frames < 0:
            raise InputError(f"--train-frames is {self.num_frames}; 0 (none) or more is needed")
        if not LEAST_SIDE_PX <= self.short_side_px <= MOST_SIDE_PX:
            raise InputError(
                f"--train-short-side-px is {self.short_side_px}; allowed: {LEAST_SIDE_PX} to "
                f"{MOST_SIDE_PX}"
            )


@dataclass(frozen=True, kw_only=True)
class Span:
    """Which frames belong to the clip: [start, end) on the video's clock; None: its own ends."""

    start_seconds: float | None = None
    end_seconds: float | None = None

    def holds(self, seconds: Any) -> Any:
        """Whether a time, or each of an array of times, lies in the span."""
        # Manifests round their times, often to milliseconds; a frame at the boundary is meant.
        start = -math.inf if self.start_seconds is None else self.start_seconds - 5e-4
        end = math.inf if self.end_seconds is None else self.end_seconds - 5e-4
        return (seconds >= start) & (seconds < end)
