"""What of a video is decoded, within which limits; imports no decoder, so anyone may hold it."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any

from mama_augment.core.errors import InputError, check_positive
from mama_augment.core.fields import option

SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
"""Of a file's name, as far as it helps to tell containers apart."""
MOST_THREADS = 256
STRANGERS = {
    "max_pixels": 4096 * 2304,
    "time_limit_seconds": 120.0,
    "memory_limit_mb": 1024,
    "max_decoded_pixels": 200_000_000_000,
    "max_bytes": 4 * 2**30,
}
"""What a clip of a stranger may cost at most: 4K pictures, an hour of 1080p at 25 frames a second.
"""
ROUNDING_SECONDS = 5e-4
"""Manifests round their times, often to milliseconds; a frame at the boundary is meant."""
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
    max_decoded_pixels: int = 20_000_000_000_000
    """Reject clips of which more pixels than this would be decoded, all frames together; the
    default is a day of 1080p at 100 frames a second."""
    max_bytes: int = 64 * 2**30
    """Copy no file from a server that has more bytes than this."""
    num_threads: int = field(default=1, metadata=option(hidden=True))
    """Decoding threads of one process. They speed a single clip up and cost memory; with as many
    workers as processors, one thread each gets the most done."""

    def __post_init__(self) -> None:
        for name in STRANGERS:
            check_positive(f"--{name.replace('_', '-')}", getattr(self, name))
        if not 1 <= self.num_threads <= MOST_THREADS:
            raise InputError(
                f"--decode-threads is {self.num_threads}; allowed: 1 to {MOST_THREADS}"
            )

    def for_strangers(self) -> LimitsConfig:
        """These limits, or those for strangers where they are lower."""
        lowered = {name: min(getattr(self, name), most) for name, most in STRANGERS.items()}
        return dataclasses.replace(self, **lowered)


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
        start = -math.inf if self.start_seconds is None else self.start_seconds - ROUNDING_SECONDS
        end = math.inf if self.end_seconds is None else self.end_seconds - ROUNDING_SECONDS
        return (seconds >= start) & (seconds < end)
