"""What to do with a clip, and what comes back; imports no decoder, so that anyone may hold it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.util import find_spec

from mama_augment.core.errors import InputError
from mama_augment.decode.config import LimitsConfig, PictureConfig
from mama_augment.keyframes.strategies.config import KeyFrameConfig

DECODERS = ("av", "decord")
LEAST_CUT_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Everything that decides which bytes a clip gives."""

    choice: KeyFrameConfig = field(default_factory=KeyFrameConfig)
    picture: PictureConfig = field(default_factory=PictureConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    least_frames: int = 1
    """A clip with fewer frames is rejected as too short."""
    decoder: str = "av"
    """One of DECODERS."""

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise InputError(f"--decoder is {self.decoder!r}; allowed: {', '.join(DECODERS)}")
        if self.decoder == "decord" and find_spec("decord") is None:
            raise InputError("--decoder decord needs the package decord: pip install decord")
        if self.least_frames < 1:
            raise InputError(f"--least-frames is {self.least_frames}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True)
class WorkConfig:
    """How the work is cut and how often it is tried."""

    clips_per_unit: int = 32
    """Most clips of an output file, and what a kill costs at most (per worker)."""
    num_attempts: int = 2
    """A clip whose process dies or passes a limit is tried this often before it has failed."""
    clips_per_process: int = 500
    """A decoding process is replaced after so many clips, because decoders leak."""

    def __post_init__(self) -> None:
        for name in ("clips_per_unit", "num_attempts", "clips_per_process"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {getattr(self, name)}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True)
class CutConfig:
    """Whether one video becomes several clips, and where it is cut."""

    seconds: float | None = None
    """Every so many seconds; a rest shorter than half of that stays with the clip before."""
    scenes: bool = False
    """At the peaks of the change signal, which takes a decode of its own."""
    least_seconds: float = 1.0
    """No scene is shorter."""

    def __post_init__(self) -> None:
        if self.seconds is not None and self.scenes:
            raise InputError("--split-seconds and --split-scenes are both given; choose one")
        if self.seconds is not None and not LEAST_CUT_SECONDS <= self.seconds < math.inf:
            raise InputError(
                f"--split-seconds is {self.seconds}; at least {LEAST_CUT_SECONDS} is needed: "
                "most shorter clips would hold no frame"
            )

    @property
    def is_on(self) -> bool:
        return self.scenes or self.seconds is not None


@dataclass(frozen=True, kw_only=True)
class ClipFrames:
    """The key frames of a clip and what is known about it. Indices count from its first frame."""

    width_px: int
    height_px: int
    """Of the upright picture with square pixels, before scaling."""
    fps: float | None
    num_frames: int
    strategy: str
    frame_index: list[int]
    frame_seconds: list[float]
    """On the video's own clock, as players show it."""
    frames: list[bytes]
