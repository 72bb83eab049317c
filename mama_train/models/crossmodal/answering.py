"""What a task needs of a model that reads a video and a text together.

A video reader has, beside `DualEncoder`'s two encoders into one space,

    answer(video, ids, mask) -> logits_BK     ids [B,S]: a question; K answers of a vocabulary
                                              ids [B,K,S]: K options, each with its question

`embed_video` and `embed_text` see one side each: the margin and the contrastive term are of
vectors from before fusion. `Answering` makes one module of it all, with a `forward` that
`torch.func.functional_call` can run, so that one pass gives what a task's loss needs.

A task: loss_B = answer_loss(logits[known], answer[known]) + β contrastive_B, where
`known = has_answer(answer)` is applied to the whole batch before anything is computed of it.

Shapes: B items, S tokens, K answers or options, D dimensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn


@runtime_checkable
class VideoReader(Protocol):
    """What VIOLET and VGT have in common; `video` is what the model's package says."""

    embed_dim: int
    logit_scale: nn.Parameter

    def answer(self, video: Any, input_ids: Tensor, mask: Tensor) -> Tensor:
        """[B,S] or [B,K,S] ids, mask 1 = token, to logits [B,K]."""

    def embed_video(self, video: Any) -> Tensor:
        """Unit vectors [B,D] that no text has been seen for."""

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Unit vectors [B,D] that no video has been seen for."""


class Answered(NamedTuple):
    """logits_BK; and, where captions were given, both sides' unit vectors [B,D]."""

    logits_BK: Tensor
    video_BD: Tensor | None
    text_BD: Tensor | None


class Answering(nn.Module):
    """A video reader as a module whose forward answers and, if asked, embeds."""

    def __init__(self, model: VideoReader) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        video: Any,
        input_ids: Tensor,
        mask: Tensor,
        caption_ids_BS: Tensor | None = None,
        caption_mask_BS: Tensor | None = None,
    ) -> Answered:
        """Captions are the texts of the contrastive term; without them nothing is embedded."""
        logits_BK = self.model.answer(video, input_ids, mask)
        if caption_ids_BS is None or caption_mask_BS is None:
            return Answered(logits_BK, None, None)
        text_BD = self.model.embed_text(caption_ids_BS, caption_mask_BS)
        return Answered(logits_BK, self.model.embed_video(video), text_BD)


def has_answer(answer_B: Tensor) -> Tensor:
    """bool [B]: whether the right answer is among those that can be given (−1: it is not)."""
    return answer_B >= 0


def answer_loss(logits_BK: Tensor, answer_B: Tensor) -> Tensor:
    """ℓ_i = cross-entropy of item i, float [B]; every item has an answer (`has_answer`)."""
    assert bool(has_answer(answer_B).all()), "items without an answer leave before their losses"
    return F.cross_entropy(logits_BK, answer_B, reduction="none")
