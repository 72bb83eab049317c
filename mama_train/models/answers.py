"""The head that answers: from the embeddings of a clip and of what is asked to logits.

    x = [v; t; √D v∘t] √D       options:  e^a v·t_k + MLP(x_k)       classes:  MLP(x)

v and t are unit vectors of D numbers, from the towers alone. The MLP is linear, GELU, linear. Of
options, its last layer starts at zero, so that a pretrained model begins with what it knows: how
well the clip fits each option's text.

Shapes: B rows, K texts asked of each (its options, or the one question), C classes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

AnswerKind = Literal["qa-open", "qa-choice"]
CONFIG_KEY = "mama_train_answers"
"""In a model folder's config.json."""
PREFIX = "answer_head."
"""Of the head's parameters in a model."""
FIRST_SCALE = math.exp(2.66)
"""The first inverse temperature of options, as that of models trained from nothing."""


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    """What a head answers. width: D. answers: the vocabulary, of the open kind. types: of the
    questions that it was asked; none: all."""

    kind: AnswerKind
    width: int
    hidden: int = 256
    answers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> AnswerConfig:
        lists = {name: tuple(fields.get(name, ())) for name in ("answers", "types")}
        return cls(**{**fields, **lists})


class AnswerHead(nn.Module):
    """See the top of the module."""

    def __init__(self, config: AnswerConfig) -> None:
        super().__init__()
        self.config = config
        self.is_open = config.kind == "qa-open"
        out = nn.Linear(config.hidden, len(config.answers) if self.is_open else 1)
        self.mlp = nn.Sequential(nn.Linear(3 * config.width, config.hidden), nn.GELU(), out)
        if not self.is_open:
            self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
            nn.init.zeros_(out.weight)
            nn.init.zeros_(out.bias)

    def forward(self, video_BD: Tensor, texts_BKD: Tensor) -> Tensor:
        """Logits [B,C] (open, of K = 1) or [B,K]."""
        size = self.config.width**0.5
        video_BKD = video_BD[:, None].expand_as(texts_BKD)
        both_BKD = video_BKD * texts_BKD
        x = size * torch.cat([video_BKD, texts_BKD, size * both_BKD], dim=-1)
        if self.is_open:
            return self.mlp(x[:, 0])
        return self.log_scale.exp() * both_BKD.sum(dim=-1) + self.mlp(x)[..., 0]


class OwnAnswers(nn.Module):
    """In place of a head, of a model that answers by parts of its own: what it answers."""

    def __init__(self, config: AnswerConfig) -> None:
        super().__init__()
        self.config = config


Answers = AnswerHead | OwnAnswers


def answers_of(config: dict[str, Any]) -> AnswerConfig | None:
    """What a model answers, by its folder's config."""
    fields = config.get(CONFIG_KEY)
    return None if fields is None else AnswerConfig.from_json(fields)


def answers_json(head: Answers | None) -> dict[str, Any]:
    """What a model folder's config says of a head."""
    return {} if head is None else {CONFIG_KEY: head.config.to_json()}


def head_file(folder: Path) -> Path:
    """Where an exported folder holds the head, since the model's class there knows of none."""
    return folder / "answer_head.safetensors"
