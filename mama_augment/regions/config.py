"""What regions are made of; imports nothing heavy, so that `--help` can show the defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.safe.trust import is_untrusted
from mama_augment.decode.config import LimitsConfig
from mama_augment.keyframes.config import ClipConfig, KeyFrameConfig, PictureConfig

if TYPE_CHECKING:
    from mama_augment.decode.isolated import IsolatedDecoder

STEP = "regions"
GRID, TRUTH, PIXELS, DETECTOR = "grid", "truth", "pixels", "detector"
DETECTORS = {"rf-detr": "Roboflow/rf-detr-base", "d-fine": "ustc-community/dfine-small-coco"}
"""Aliases of `--model`, on the Hugging Face hub."""
ENCODERS = {"dinov2": "facebook/dinov2-small"}
"""Aliases of `--vectors`."""
LIMITS = "What a clip may be and cost"


@dataclass(frozen=True, kw_only=True)
class RegionsConfig:
    """Everything that decides what comes out."""

    model: str = GRID
    """What finds boxes: a detector of transformers (rf-detr, d-fine or a folder of one), the cells
    of a 7x7 grid that differ most within themselves (grid), or boxes that came with the clips in a
    column true_regions (truth). `butd:FOLDER` reads published features and decodes nothing."""
    vectors: str = field(default="", metadata=option(default_shown="detector, or pixels"))
    """What a region's vector is: the detector's own state (detector); 6x6 pixels of the region
    (pixels); or the mean of an image encoder's tokens in the box (dinov2, or a folder of one)."""
    num_clips: int = field(default=8, metadata=option("--clips-per-video"))
    """Clips that the time is divided into, one after the other."""
    num_frames: int = field(default=4, metadata=option("--frames-per-clip"))
    """Frames of each of these, evenly spread."""
    num_regions: int = field(default=5, metadata=option("--regions-per-frame"))
    """Regions of a frame: those with the highest scores; a frame with fewer has holes."""
    overlap: float = 0.7
    """Of two boxes that share more than this (IoU), the one with the lower score leaves."""
    least_score: float = 0.0
    """Boxes with a lower score leave."""
    short_side_px: int = 480
    """Frames are scaled down to this short side before anything looks at them."""
    limits: LimitsConfig = field(default_factory=LimitsConfig, metadata=option(panel=LIMITS))

    def __post_init__(self) -> None:
        for name in ("num_clips", "num_frames", "num_regions"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if not 0 < self.overlap <= 1:
            raise InputError(f"--overlap is {self.overlap}; allowed: above 0, up to 1")
        if not self.vectors:
            of_none = self.model in (GRID, TRUTH) or self.is_published
            object.__setattr__(self, "vectors", PIXELS if of_none else DETECTOR)
        if self.vectors == DETECTOR and self.model in (GRID, TRUTH):
            raise InputError(
                f"--vectors detector, but --model {self.model} is not a detector; give --vectors "
                "pixels, dinov2 or a folder"
            )

    @property
    def is_published(self) -> bool:
        """Whether regions are read, not found."""
        return self.model.startswith("butd:")

    @property
    def frames_wanted(self) -> int:
        """C · F."""
        return self.num_clips * self.num_frames

    def clip_config(self) -> ClipConfig:
        """How frames are taken: evenly spread over the clip."""
        return ClipConfig(
            choice=KeyFrameConfig(strategy="uniform", num_frames=self.frames_wanted),
            picture=PictureConfig(short_side_px=self.short_side_px, jpeg_quality=95),
            limits=self.limits,
        )

    def isolated(self, target: str, answer: Any) -> IsolatedDecoder:
        """A function that looks at one video, in a process of its own."""
        from mama_augment.decode.isolated import IsolatedDecoder

        limits = self.limits.for_strangers() if is_untrusted() else self.limits
        return IsolatedDecoder(target, limits, answer)

    def manifest_config(self) -> dict[str, Any]:
        """What decides the output; limits only decide what fails."""
        return {k: v for k, v in vars(self).items() if k != "limits"} | {
            "max_pixels": self.limits.max_pixels
        }
