"""What to do with a clip, and what comes back; imports no decoder, so that anyone may hold it."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mama_augment.core.address import absolute
from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option
from mama_augment.decode.config import LimitsConfig, PictureConfig, TrainFramesConfig
from mama_augment.keyframes.strategies.config import KeyFrameConfig

if TYPE_CHECKING:
    from mama_augment.decode.isolated import IsolatedDecoder

DECODERS = ("av", "decord")
LEAST_CUT_SECONDS = 0.1
STEP = "keyframes"
LIMITS = "What a clip may be and cost"


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Everything that decides which bytes a clip gives."""

    choice: KeyFrameConfig = field(
        default_factory=KeyFrameConfig, metadata=option(panel="Which frames")
    )
    picture: PictureConfig = field(default_factory=PictureConfig, metadata=option(panel="Pictures"))
    training: TrainFramesConfig = field(
        default_factory=TrainFramesConfig, metadata=option(panel="Pictures")
    )
    limits: LimitsConfig = field(default_factory=LimitsConfig, metadata=option(panel=LIMITS))
    least_frames: int = field(default=1, metadata=option(panel=LIMITS))
    """Reject clips with fewer frames than this as too short."""
    decoder: str = field(default="av", metadata=option(panel="How it runs"))
    """What decodes: av or decord (slower)."""

    def __post_init__(self) -> None:
        check_choice("--decoder", self.decoder, DECODERS)
        if self.decoder == "decord" and find_spec("decord") is None:
            raise InputError("--decoder decord needs the package decord: pip install decord")
        if self.least_frames < 1:
            raise InputError(f"--least-frames is {self.least_frames}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True)
class WorkConfig:
    """How the work is cut and how often it is tried."""

    clips_per_unit: int = 32
    """Clips per output file, at most: a kill costs each worker no more than this."""
    num_attempts: int = field(default=2, metadata=option(hidden=True))
    """A clip whose process dies or passes a limit is tried this often before it has failed."""
    clips_per_process: int = field(default=500, metadata=option(hidden=True))
    """A decoding process is replaced after this many clips, because decoders leak."""

    def __post_init__(self) -> None:
        for name in ("clips_per_unit", "num_attempts", "clips_per_process"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {getattr(self, name)}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True)
class CutConfig:
    """Whether one video becomes several clips, and where it is cut."""

    seconds: float | None = field(
        default=None, metadata=option("--cut-seconds", "--split-seconds", default_shown="no")
    )
    """Cut every video into clips of this length (at least 0.1). A rest shorter than half of it
    stays with the clip before."""
    scenes: bool = field(default=False, metadata=option("--cut-scenes", "--split-scenes"))
    """Cut every video at its scenes; this takes a decode of its own."""
    least_seconds: float = field(default=1.0, metadata=option(hidden=True))
    """No scene is shorter."""

    def __post_init__(self) -> None:
        if self.seconds is not None and self.scenes:
            raise InputError("--cut-seconds and --cut-scenes are both given; choose one")
        if self.seconds is not None and not LEAST_CUT_SECONDS <= self.seconds < math.inf:
            raise InputError(
                f"--cut-seconds is {self.seconds}; at least {LEAST_CUT_SECONDS} is needed: "
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
    transfer: str | None
    """FFmpeg's name of the video's transfer characteristic; the pictures are SDR in any case."""
    num_frames: int
    strategy: str
    frame_index: list[int]
    frame_seconds: list[float]
    """On the video's own clock, as players show it."""
    frames: list[bytes]
    frame_hashes: list[int]
    """See `look.look_hash`."""
    flags: list[str]
    """See `core.shared.flags`."""
    train_frame_seconds: list[float] | None = None
    train_frames: list[bytes] | None = None
    """A second, evenly spaced list, where one is asked for."""

    def __post_init__(self) -> None:
        """Raises ValueError for what no clip has: who says so is not our own code any more."""
        counts = {
            len(of_frames)
            for of_frames in (self.frame_index, self.frame_seconds, self.frames, self.frame_hashes)
        }
        numbers = (self.width_px, self.height_px, *self.frame_index, self.num_frames)
        if len(counts) != 1 or not self.frames:
            raise ValueError("of each frame, one of each")
        if not all(0 <= number < 2**31 for number in numbers):
            raise ValueError("sizes and indices that there are")
        if not all(map(math.isfinite, self.frame_seconds)):
            raise ValueError("times that there are")
        if not all(-(2**63) <= number < 2**63 for number in self.frame_hashes):
            raise ValueError("hashes of 64 bits")


@dataclass(frozen=True, kw_only=True)
class KeyFramesStep:
    """What the step does with every clip."""

    clip: ClipConfig = field(default_factory=ClipConfig)
    cut: CutConfig = field(default_factory=CutConfig, metadata=option(panel="Which frames"))
    work: WorkConfig = field(default_factory=WorkConfig, metadata=option(panel="How it runs"))
    root: str | None = field(default=None, metadata=option(panel=LIMITS, default_shown="anywhere"))
    """Reject videos that lie outside this folder, by their path or where a link leads; with
    --untrusted, the folder of VIDEOS is the default."""

    def for_strangers(self, root: str) -> KeyFramesStep:
        """For videos, and a list of them, that may mean harm: only what lies in a folder, within
        lower limits.

        Raises:
            InputError: --decoder decord, which opens more than it is given.
        """
        if self.clip.decoder != "av":
            raise InputError(f"--untrusted: --decoder {self.clip.decoder} is not safe; take av")
        clip = dataclasses.replace(self.clip, limits=self.clip.limits.for_strangers())
        return dataclasses.replace(self, clip=clip, root=absolute(self.root or root))

    def manifest_config(self) -> dict[str, Any]:
        """What decides the output; time and memory limits only decide what fails."""
        return {
            **dataclasses.asdict(self.clip.choice),
            **dataclasses.asdict(self.clip.picture),
            "max_pixels": self.clip.limits.max_pixels,
            "least_frames": self.clip.least_frames,
            "decoder": self.clip.decoder,
            **{f"cut_{name}": v for name, v in dataclasses.asdict(self.cut).items()},
            "clips_per_unit": self.work.clips_per_unit,
            **self._training(),
        }

    def _training(self) -> dict[str, Any]:
        """Nothing where there are no frames to train on: directories without them stay what they
        are."""
        training = self.clip.training
        if not training.num_frames:
            return {}
        return {
            "train_frames": training.num_frames,
            "train_short_side_px": training.short_side_px,
        }

    def isolated(self, target: str, answer: Any) -> IsolatedDecoder:
        """A function that looks at one video, in a process of its own."""
        from mama_augment.decode.isolated import IsolatedDecoder

        return IsolatedDecoder(
            target,
            self.clip.limits,
            answer,
            root=None if self.root is None else absolute(self.root),
            clips_per_process=self.work.clips_per_process,
        )


def threads_per_worker(num_workers: int) -> int:
    """Decoding threads that keep this machine's processors busy: 1 when the workers do."""
    processors = len(os.sched_getaffinity(0))
    return 1 if num_workers >= processors else processors // num_workers + 1
