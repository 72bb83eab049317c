"""Two light heads on features for transformers: a clip's vectors and a text to unit vectors of one
space.

This file stands alone: it travels with exported weights, and needs torch and transformers only.
The mean of a clip's vectors goes through an MLP, and so does the mean of a text's word vectors.

Shapes: B clips or texts, T vectors of a clip, W numbers per vector, S tokens, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput


class HeadsConfig(PretrainedConfig):
    """Sizes, in the dictionary `heads`."""

    model_type = "mama-heads"

    def __init__(self, **kwargs: Any) -> None:
        self.heads = kwargs.pop("heads", {})
        super().__init__(**kwargs)


@dataclass
class HeadsOutput(ModelOutput):
    """Unit vectors [B,D], and the similarities of all pairs times the learned scale."""

    video_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    logits_per_text: Tensor | None = None


class HeadsModel(PreTrainedModel):
    """`model(features=[B,T,W], input_ids=…, attention_mask=…)`; either side may be left out."""

    config_class = HeadsConfig

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config)
        sizes = config.heads
        self.video_head = _mlp(sizes["width"], sizes)
        self.word_embedding = nn.Embedding(sizes["vocab_size"], sizes["word_dim"])
        self.text_head = _mlp(sizes["word_dim"], sizes)
        self.logit_scale = nn.Parameter(torch.tensor(0.0))
        self.post_init()

    def get_video_features(self, features: Tensor) -> Tensor:
        """Unit vectors of clips [B,D]."""
        return F.normalize(self.video_head(features.mean(dim=1)), dim=-1)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Unit vectors of texts [B,D]."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        words = self.word_embedding(input_ids)
        share = mask.to(words.dtype) / mask.sum(dim=1, keepdim=True)
        return F.normalize(self.text_head((words * share[..., None]).sum(dim=1)), dim=-1)

    def forward(
        self,
        features: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> HeadsOutput:
        video = None if features is None else self.get_video_features(features)
        text = None if input_ids is None else self.get_text_features(input_ids, attention_mask)
        logits = None
        if video is not None and text is not None:
            logits = self.logit_scale.exp() * text @ video.T
        return HeadsOutput(video_embeds=video, text_embeds=text, logits_per_text=logits)


def _mlp(width: int, sizes: dict[str, Any]) -> nn.Sequential:
    hidden, dim = sizes["hidden"], sizes["embed_dim"]
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, dim))
