"""What a model asks of the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mama_train.models.config import Linking

Fit = Literal["crop", "stretch"]
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class FrameSpec:
    """What the data must hand over: frames per clip, square size in pixels, pixel statistics.

    fit: how a frame becomes square. `crop` keeps its middle, as CLIP does; `stretch` keeps all.
    """

    num_frames: int
    size_px: int
    fit: Fit = "crop"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; the size is the model's own."""
        return {k: v for k, v in asdict(self).items() if k != "size_px"}

    def random_clips(self, num: int, generator: torch.Generator) -> Tensor:
        """uint8 [num,T,H,W,3] of noise, of the shape that the model takes."""
        shape = (num, self.num_frames, self.size_px, self.size_px, 3)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """What the data must hand over to a model of features: vectors per clip (those of a clip are
    chosen as frames are), numbers per vector, and the shards' column that holds them."""

    num_frames: int
    width: int
    column: str = "features"

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps of it beside the model's sizes."""
        return {"num_frames": self.num_frames}

    def random_clips(self, num: int, generator: torch.Generator) -> Tensor:
        """float32 [num,T,width] of noise, of the shape that the model takes."""
        return torch.randn(num, self.num_frames, self.width, generator=generator)


@dataclass(frozen=True, kw_only=True)
class RegionSpec:
    """What the data must hand over to a model of regions: boxes and vectors of C clips of F frames.

    A clip is float32 [C,F,R+1,width+6]: of each frame, R regions (vector, x1, y1, x2, y2 and area
    as shares of the frame, and 1 where there is one, else 0), then the frame's vector and zeros.
    extractor: what made them, as the shards say; another one's numbers would mean nothing.
    """

    num_clips: int
    num_frames: int
    num_regions: int
    width: int
    extractor: str
    column: str = "regions"
    linking: Linking = "one-to-one"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of a clip."""
        return (self.num_clips, self.num_frames, self.num_regions + 1, self.width + 6)

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps of it beside the model's sizes."""
        names = ("num_clips", "num_frames", "extractor", "linking")
        return {name: getattr(self, name) for name in names}

    def random_clips(self, num: int, generator: torch.Generator) -> Tensor:
        """float32 [num,…] of noise, of the shape that the model takes, with a region everywhere."""
        clips = torch.rand(num, *self.shape, generator=generator)
        clips[..., -1] = 1
        return clips
