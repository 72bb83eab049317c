"""A model of one's own: a module with two methods, what it sees, and its tokenizer.

    class Mine(torch.nn.Module):
        def embed_video(self, video): ...             # [B,T,3,H,W] or [B,T,width] -> [B,D]
        def embed_text(self, input_ids, mask): ...    # int64 [B,S] each -> [B,D]

    mama_train.train(config, model=OwnModel(module=Mine(), sees=FrameSpec(...), tokenizer=...))

Shapes: B clips or texts, T frames or vectors, S tokens, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.models.base import (
    FROM_NOTHING_LR,
    PRETRAINED_LR,
    ClipSpec,
    DualEncoder,
    unit,
)
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.towers import Tower, TowerKind

OWN = "own"


class Tokenizes(Protocol):
    """Texts to what `embed_text` takes. A `save(folder)` is called for checkpoints, if it is there;
    a `TextTokenizer` has it all."""

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(input ids, mask) of B texts, int64 [B,S] each; mask 1 = token."""
        ...


@dataclass(frozen=True, kw_only=True)
class OwnModel:
    """A model for `train`.

    module: has `embed_video` and `embed_text` as above; their vectors need not be of unit length.
        Frames come normalised by the statistics of `sees`. Attention must run on plain
        `scaled_dot_product_attention`, and random numbers come from torch's default generators:
        the meta step differentiates in forward mode (--weights none does not).
    sees: frames (`FrameSpec`) or the shards' vectors (`FeatureSpec`).
    inverse_temperature: where it starts, if the module has no parameter `logit_scale` (its log),
        which is only read; what is trained is `logit_scale` of the model in the checkpoint.
    from_nothing: whether the default learning rate is the large one.
    towers: which of the module's parameters are of which side, for freezing, layer-wise learning
        rates, --meta-layers and --lora.
    """

    module: nn.Module
    sees: ClipSpec
    tokenizer: Tokenizes
    inverse_temperature: float = 1 / 0.07
    from_nothing: bool = False
    towers: Mapping[TowerKind, Tower] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for method in ("embed_video", "embed_text"):
            if not callable(getattr(self.module, method, None)):
                raise InputError(f"{type(self.module).__name__} has no method {method}")
        if not callable(getattr(self.tokenizer, "encode", None)):
            raise InputError(
                f"the tokenizer is a {type(self.tokenizer).__name__} without a method encode; give "
                "one with it, or TextTokenizer(a tokenizer of transformers, max_tokens=…)"
            )

    @property
    def name(self) -> str:
        """What a run's config calls it."""
        return f"{OWN}:{type(self.module).__name__}"

    def encoder(self) -> OwnEncoder:
        """As training takes it."""
        return OwnEncoder(self)

    def text_tokenizer(self) -> TextTokenizer:
        """As training takes it."""
        if isinstance(self.tokenizer, TextTokenizer):
            return self.tokenizer
        return _OwnTokenizer(self.tokenizer)


class OwnEncoder(DualEncoder):
    """The module with unit vectors and a temperature."""

    def __init__(self, own: OwnModel) -> None:
        super().__init__(own.sees)
        self.own = own.module
        self.usual_lr = FROM_NOTHING_LR if own.from_nothing else PRETRAINED_LR
        self._towers = own.towers
        start = dict(own.module.named_parameters()).get("logit_scale")
        if start is None:
            scale = torch.tensor(math.log(own.inverse_temperature))
        else:
            scale = start.detach().reshape(()).clone()
            start.requires_grad_(False)  # that of the encoder is trained
        self.logit_scale = nn.Parameter(scale)
        self.eval()  # so that looking at one vector changes no running mean
        with torch.no_grad():
            self.embed_dim = self.embed_text(*own.tokenizer.encode(["a"])).shape[-1]
        self.train()

    def embed_video(self, video: Tensor) -> Tensor:
        own: Any = self.own
        return unit(own.embed_video(self.pixels(video)))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        own: Any = self.own
        return unit(own.embed_text(input_ids_BS, mask_BS))

    def towers(self) -> dict[TowerKind, Tower]:
        return {kind: tower.below_prefix("own.") for kind, tower in self._towers.items()}

    def config_json(self) -> dict[str, Any]:
        kind = type(self.own)
        return {
            "mama_train": OWN,
            "model_type": "mama-own",
            "class": f"{kind.__module__}.{kind.__qualname__}",
        }


class _OwnTokenizer(TextTokenizer):
    """Somebody's tokenizer, which is asked and, if it can, saved."""

    def __init__(self, own: Tokenizes) -> None:
        self.own = own

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        return self.own.encode(texts)

    def save(self, folder: Path) -> None:
        if callable(save := getattr(self.own, "save", None)):
            save(folder)
