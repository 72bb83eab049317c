"""What training needs of a video-text model: two encoders into one space, and a temperature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, Self

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.models.answers import PREFIX, AnswerConfig, AnswerHead, Answers
from mama_train.models.specs import FeatureSpec, FrameSpec, RegionSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.towers import Tower, TowerKind

PRETRAINED_LR, FROM_NOTHING_LR = 1e-5, 1e-3
"""Usual peak learning rates."""


ClipSpec = FrameSpec | FeatureSpec | RegionSpec


class DualEncoder(nn.Module, ABC):
    """Clips, as frames or as features, and texts to unit vectors of one space.

    `logit_scale` is the logarithm of the inverse temperature. Attention must run on plain
    `scaled_dot_product_attention` (or eager). Dropout and DropPath must draw from torch's default
    generators: the meta step puts their state back, because it differentiates forwards through
    two passes that must agree (`objective/guard.py` looks whether they do).
    """

    frame_spec: ClipSpec
    embed_dim: int
    logit_scale: nn.Parameter
    answer_head: Answers | None
    """Of a model that answers questions; see `answer_with`."""
    usual_lr: float = PRETRAINED_LR
    """Peak learning rate where none is given."""

    def __init__(self, frame_spec: ClipSpec) -> None:
        super().__init__()
        self._frozen: tuple[Tower, ...] = ()
        self.answer_head: Answers | None = None
        self.see(frame_spec)

    def see(self, frame_spec: ClipSpec) -> None:
        """Take clips of this kind from now on: another number of frames, other statistics."""
        self.frame_spec = frame_spec
        if isinstance(frame_spec, FrameSpec):
            self.register_buffer("_mean", torch.tensor(frame_spec.mean), persistent=False)
            self.register_buffer("_std", torch.tensor(frame_spec.std), persistent=False)

    def forward(
        self,
        video: Tensor,
        input_ids_BS: Tensor,
        mask_BS: Tensor,
        asked_BKS: Tensor | None = None,
        asked_mask_BKS: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """(video_embed_BD, text_embed_BD), both of unit length and of one side alone; where K texts
        are asked of each clip, also the logits of the answers (see `answer`)."""
        if asked_BKS is None or asked_mask_BKS is None:
            return self.embed_video(video), self.embed_text(input_ids_BS, mask_BS)
        seen = self.look(video)
        answers_BC = self.answer(seen, asked_BKS, asked_mask_BKS)
        return self.embed_seen(seen), self.embed_text(input_ids_BS, mask_BS), answers_BC

    def answer_with(self, config: AnswerConfig, tokenizer: TextTokenizer) -> list[str]:
        """Answer such questions from now on; returns the names of parameters that start anew."""
        if self.answer_head is not None and self.answer_head.config == config:
            return []
        head = AnswerHead(config).to(self.logit_scale.device)
        self.answer_head = head
        return [PREFIX + name for name, _ in head.named_parameters()]

    def look(self, video: Tensor) -> Tensor:
        """What `answer` needs of clips, [B,…]: made once for all the questions about a clip."""
        return self.embed_video(video)

    def embed_seen(self, seen: Tensor) -> Tensor:
        """Of what `look` found, the embedding that `embed_video` would give [B,D]."""
        return seen

    def answer(self, seen: Tensor, asked: Tensor, asked_mask: Tensor) -> Tensor:
        """Logits [B,C] of the classes (K is 1, the question) or of the K options, by the head; of
        ids and mask [B,K,S]."""
        assert isinstance(self.answer_head, AnswerHead), "a model without answers was asked"
        flat = (asked.flatten(0, 1), asked_mask.flatten(0, 1))
        return self.answer_head(seen, self.embed_text(*flat).unflatten(0, asked.shape[:2]))

    def pixels(self, video: Tensor) -> Tensor:
        """uint8 [B,T,H,W,3] to normalised [B,T,3,H,W]; float input is taken as normalised."""
        if video.dtype != torch.uint8:
            return video
        mean, std = self.get_buffer("_mean"), self.get_buffer("_std")
        return ((video.to(mean.dtype) / 255 - mean) / std).permute(0, 1, 4, 2, 3)

    @abstractmethod
    def embed_video(self, video: Tensor) -> Tensor:
        """Frames, uint8 [B,T,H,W,3] or normalised float [B,T,3,H,W], or features, float
        [B,T,width], to unit vectors [B,D]."""

    @abstractmethod
    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Token ids with mask (1 = token) to unit vectors [B,D]."""

    def towers(self) -> dict[TowerKind, Tower]:
        """Which of the parameters are of which side; `logit_scale` is of neither. A model that
        does not say it cannot be frozen in part."""
        return {}

    def depth_of(self, name: str) -> int:
        """How far a parameter is from the top of its tower (see `Tower.depth`); 0 of neither."""
        return next((t.depth(name) for t in self.towers().values() if t.holds(name)), 0)

    def upper_names(self, num_layers: int) -> list[str]:
        """Names of the trained parameters of the last `num_layers` blocks of both towers and
        above."""

        def is_upper(name: str) -> bool:
            of = (t for t in self.towers().values() if t.holds(name))
            return all(t.depth(name) <= min(num_layers, t.num_blocks) for t in of)

        return [n for n, p in self.named_parameters() if p.requires_grad and is_upper(n)]

    def freeze(self, kinds: Collection[TowerKind], *, logit_scale: bool = False) -> None:
        """Keep these towers, and the inverse temperature, as they are: their parameters have no
        gradient, and `train` leaves their modules in evaluation mode (dropout, running means).

        Raises:
            InputError: the model does not say which parameters are of a tower, or nothing would
                be left to train.
        """
        towers = self.towers()
        if unknown := [kind for kind in kinds if kind not in towers]:
            raise InputError(
                f"freeze is {unknown[0]!r}, but {type(self).__name__} does not say which of its "
                "parameters that is"
            )
        self._frozen = tuple(towers[kind] for kind in kinds)
        for name, parameter in self.named_parameters():
            if any(tower.holds(name) for tower in self._frozen):
                parameter.requires_grad_(False)
        if logit_scale:
            self.logit_scale.requires_grad_(False)
        if not any(p.requires_grad for p in self.parameters()):
            raise InputError("everything is frozen, and nothing is left to train; freeze less")
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for name, module in self.named_modules():
            if any(tower.holds(name) for tower in self._frozen):
                module.training = False
        return self

    def published_tensors(self) -> dict[str, Tensor]:
        """Parameters under the names of the Hugging Face model that this one extends."""
        return dict(self.state_dict())

    @abstractmethod
    def config_json(self) -> dict[str, Any]:
        """What `start.build` needs to make this model again, and the HF-style config."""


def unit(x: Tensor) -> Tensor:
    """x divided by its length along the last dimension."""
    return x / x.norm(dim=-1, keepdim=True)
