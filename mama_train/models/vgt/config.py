"""Sizes and choices of a VGT, and what it takes for a video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.crossmodal.bert import BertSize

BOX_NUMBERS = 6
"""Behind a region's vector: its box, its area, and whether it is there."""
TextPooling = Literal["masked", "padded"]


class Regions(NamedTuple):
    """A batch of videos.

    region_BCFRW: appearance of each region, float.
    box_BCFR5: x1/W, y1/H, x2/W, y2/H and the share of the frame's area (`box_features`), float.
    frame_BCFW: one vector per frame, float.
    mask_BCFR: bool, True where there is a region; None: everywhere.
    """

    region_BCFRW: Tensor
    box_BCFR5: Tensor
    frame_BCFW: Tensor
    mask_BCFR: Tensor | None = None

    @classmethod
    def of(cls, video: Tensor | Regions) -> Regions:
        """Of clips as `RegionSpec` has them, [B,C,F,R+1,W+6]; a `Regions` stays as it is."""
        if isinstance(video, Regions):
            return video
        of_regions, of_frame = video[..., :-1, :], video[..., -1, :]
        return cls(
            region_BCFRW=of_regions[..., :-BOX_NUMBERS],
            box_BCFR5=of_regions[..., -BOX_NUMBERS:-1],
            frame_BCFW=of_frame[..., :-BOX_NUMBERS],
            mask_BCFR=of_regions[..., -1] > 0,
        )


@dataclass(frozen=True, kw_only=True)
class VgtConfig:
    """The defaults are the published model's, but for `text_pooling`."""

    feature_dim: int = 2048
    width: int = 512
    hidden: int = 1024
    num_heads: int = 8
    num_regions: int = 5
    """R, per frame: the edges' transformer has R² numbers per frame."""
    edge_heads: int = 5
    """Heads of that transformer; R² must be a multiple."""
    bert: BertSize = field(default_factory=BertSize)
    dropout: float = 0.3
    text_pooling: TextPooling = "masked"
    """`masked`: a text is the mean of its tokens. `padded`: of padding too, as published, so that
    a score depends on what else is in the batch."""
    frame_level_text: bool = False
    """Words meet the frames too, before these are averaged to clips (published for TGIF-QA's
    action and transition)."""
    num_frame_positions: int = 0
    """F, to tell a clip's frames apart by a trained vector each; 0, as published: the order of
    frames inside a clip is not seen."""
    frozen_batch_norm: bool = False
    """The averages of the boxes' BatchNorm stay: for small batches."""
    embed_dim: int = 256

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> VgtConfig:
        """Of a checkpoint's `config.json`; what it does not name has its default."""
        return cls(**{**fields, "bert": BertSize(**fields.get("bert", {}))})

    def __post_init__(self) -> None:
        if self.num_regions**2 % self.edge_heads:
            raise InputError(
                f"num_regions is {self.num_regions}, but edge_heads ({self.edge_heads}) must "
                f"divide num_regions² ({self.num_regions**2}); give edge_heads=1"
            )
        if self.width % self.num_heads or self.width % 2:
            raise InputError(
                f"width is {self.width}, but must be even and a multiple of num_heads "
                f"({self.num_heads})"
            )


def tiny_vgt(vocab_size: int, *, num_regions: int, num_frames: int, width: int) -> VgtConfig:
    """For two cores and training from nothing: 0.3 million numbers with 100 words. A clip's frames
    are told apart. width: numbers per vector."""
    bert = BertSize(
        vocab_size=vocab_size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=32,
        dropout=0.0,
    )
    return VgtConfig(
        feature_dim=width,
        width=64,
        hidden=128,
        num_heads=4,
        num_regions=num_regions,
        edge_heads=1,
        bert=bert,
        dropout=0.0,
        num_frame_positions=num_frames,
        embed_dim=64,
    )


def box_features(boxes_N4: Tensor, size_N2: Tensor) -> Tensor:
    """Boxes x1, y1, x2, y2 in pixels, both ends inside, of frames of (width, height) pixels, to
    [...,5]: the four over the frame's sides, and the share of its area; broadcast over `...`."""
    width, height = size_N2.unbind(-1)
    x1, y1, x2, y2 = boxes_N4.unbind(-1)
    area = (x2 - x1 + 1) * (y2 - y1 + 1) / (width * height)
    sides = (x1 / width, y1 / height, x2 / width, y2 / height, area)
    return torch.stack(sides, dim=-1)
