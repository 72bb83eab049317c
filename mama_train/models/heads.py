"""Two light heads on features: for a million clips on one GPU, or experiments on a CPU.

    v = unit(MLP(mean of the clip's vectors))      t = unit(MLP(mean of the words' embeddings))

Each MLP is linear, ReLU, linear. Words are embedded by the model; their order is not seen.

Shapes: B clips or texts, T vectors per clip, S tokens, W numbers per vector, D dimensions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mama_train.models.base import FROM_NOTHING_LR, DualEncoder, unit
from mama_train.models.specs import FeatureSpec
from mama_train.models.towers import Tower, TowerKind

MAX_TOKENS = 64
FIRST_SCALE = math.exp(2.66)
"""The first inverse temperature, that of the other model that is trained from nothing."""


@dataclass(frozen=True, kw_only=True)
class HeadsConfig:
    """Sizes of the heads. width, num_frames and column are those of the features."""

    width: int
    num_frames: int = 1
    column: str = "features"
    hidden: int = 256
    embed_dim: int = 64
    word_dim: int = 64
    vocab_size: int = 0

    @classmethod
    def from_json(cls, config: dict[str, Any], *, num_frames: int) -> HeadsConfig:
        """Of a checkpoint's `config.json`."""
        return cls(**{**config["heads"], "num_frames": num_frames})


class Heads(DualEncoder):
    """The model."""

    usual_lr = FROM_NOTHING_LR

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(
            FeatureSpec(num_frames=config.num_frames, width=config.width, column=config.column)
        )
        self.config = config
        self.embed_dim = config.embed_dim
        self.video_head = _mlp(config.width, config)
        self.word_embedding = nn.Embedding(config.vocab_size, config.word_dim)
        self.text_head = _mlp(config.word_dim, config)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def embed_video(self, video: Tensor) -> Tensor:
        return unit(self.video_head(video.to(self.logit_scale.dtype).mean(dim=1)))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        words_BSE = self.word_embedding(input_ids_BS)
        share_BS = mask_BS.to(words_BSE.dtype) / mask_BS.sum(dim=1, keepdim=True)
        return unit(self.text_head((words_BSE * share_BS[..., None]).sum(dim=1)))

    def towers(self) -> dict[TowerKind, Tower]:
        """A head counts as one block, below which are only the words."""
        words = ("word_embedding.",)
        return {
            "vision": Tower(parts=("video_head.",), num_blocks=1),
            "text": Tower(parts=(*words, "text_head."), below=words, num_blocks=1),
        }

    def config_json(self) -> dict[str, Any]:
        return {"mama_train": "heads", "model_type": "mama-heads", "heads": asdict(self.config)}


def _mlp(width: int, config: HeadsConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, config.hidden),
        nn.ReLU(),
        nn.Linear(config.hidden, config.embed_dim),
    )
