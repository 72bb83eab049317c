"""CLIP-ViP: one transformer over all frames' patches plus global video proxy tokens.

The class token and the proxies attend to everything; a patch attends to them and to its own
frame, so frames exchange information only through them. Parameter names are those of Hugging
Face CLIP plus `vision_model.embeddings.{added_cls,temporal_embedding}`, so that published
CLIP-ViP and plain CLIP weights load directly.

Shapes: B clips, T frames, L patches per frame, M global tokens, S text tokens, D width.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mama_train.models.base import FROM_NOTHING_LR, PRETRAINED_LR, DualEncoder, unit
from mama_train.models.layers import Activation, Encoder, check_tower, text_mask
from mama_train.models.specs import CLIP_MEAN, CLIP_STD, FrameSpec
from mama_train.models.towers import Tower, TowerKind


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """One transformer; `hidden_size` must be a multiple of the number of heads."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: Activation = "quick_gelu"


@dataclass(frozen=True, kw_only=True)
class ClipVipConfig:
    """Sizes of a CLIP-ViP model. `stem_channels` puts a few convolutions before the patches
    (empty: one strided convolution, as published); useful when training from nothing."""

    text: TowerConfig
    vision: TowerConfig
    projection_dim: int
    vocab_size: int
    max_text_tokens: int
    image_size: int
    patch_size: int
    temporal_size: int = 12
    num_added_cls: int = 3
    logit_scale_init: float = 4.6
    stem_channels: tuple[int, ...] = ()

    @property
    def num_proxies(self) -> int:
        """M: the class token and the added ones."""
        return 1 + self.num_added_cls

    def to_json(self) -> dict[str, Any]:
        """Laid out as the `config.json` of Hugging Face CLIP, with what CLIP-ViP adds."""
        return {
            "model_type": "clip-vip",
            "projection_dim": self.projection_dim,
            "text_config": {
                **dataclasses.asdict(self.text),
                "vocab_size": self.vocab_size,
                "max_position_embeddings": self.max_text_tokens,
            },
            "vision_config": {
                **dataclasses.asdict(self.vision),
                "image_size": self.image_size,
                "patch_size": self.patch_size,
                "stem_channels": list(self.stem_channels),
            },
            "vision_additional_config": {
                "type": "ViP",
                "temporal_size": self.temporal_size,
                "if_use_temporal_embed": 1,
                "add_cls_num": self.num_added_cls,
                "logit_scale_init_value": self.logit_scale_init,
            },
        }

    @classmethod
    def from_json(cls, config: dict[str, Any]) -> ClipVipConfig:
        """From `to_json`, an official CLIP-ViP config, or a plain Hugging Face CLIP config.

        Raises:
            InputError: it has what these towers do not compute.
        """
        text = {**_TEXT_DEFAULTS, **config.get("text_config", {})}
        vision = {**_VISION_DEFAULTS, **config.get("vision_config", {})}
        added = config.get("vision_additional_config", {})
        for of_tower in (text, vision):
            check_tower(of_tower)
        towers = [
            {f.name: c[f.name] for f in dataclasses.fields(TowerConfig)} for c in (text, vision)
        ]
        return cls(
            text=TowerConfig(**towers[0]),
            vision=TowerConfig(**towers[1]),
            projection_dim=config.get("projection_dim", 512),
            vocab_size=text["vocab_size"],
            max_text_tokens=text["max_position_embeddings"],
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            temporal_size=added.get("temporal_size", 12),
            num_added_cls=added.get("add_cls_num", 3),
            logit_scale_init=added.get("logit_scale_init_value", 4.6),
            stem_channels=tuple(vision.get("stem_channels", ())),
        )


# What Hugging Face leaves out of a config.json when it equals CLIP's own default.
_TEXT_DEFAULTS = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "hidden_act": "quick_gelu",
    "vocab_size": 49408,
    "max_position_embeddings": 77,
}
_VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "image_size": 224,
    "patch_size": 32,
}


class TextEmbeddings(nn.Module):
    """Tokens and their places to vectors."""

    def __init__(self, config: ClipVipConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.text.hidden_size)
        self.position_embedding = nn.Embedding(config.max_text_tokens, config.text.hidden_size)

    def forward(self, input_ids_BS: Tensor) -> Tensor:
        """Token ids [B,S] to [B,S,D]; S at most the table's length."""
        num_tokens = input_ids_BS.shape[1]
        assert num_tokens <= self.position_embedding.num_embeddings, "text too long"
        return self.token_embedding(input_ids_BS) + self.position_embedding.weight[:num_tokens]


class TextTransformer(nn.Module):
    """The text tower: causal attention, read off at the end token."""

    def __init__(self, config: ClipVipConfig) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.encoder = _encoder(config.text)
        self.final_layer_norm = nn.LayerNorm(config.text.hidden_size)

    def forward(
        self, input_ids_BS: Tensor, mask_BS: Tensor | None, remember: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(all normed token states [B,S,D], the state at the first EOS, the largest id [B,D])."""
        x = self.embeddings(input_ids_BS)
        ones = torch.ones_like(input_ids_BS)
        mask = text_mask(ones if mask_BS is None else mask_BS, x.dtype)
        states_BSD = self.final_layer_norm(self.encoder(x, mask=mask, remember=remember))
        # argmax takes the first maximum, so padding with EOS does no harm.
        end_B = input_ids_BS.argmax(dim=1)
        rows_B = torch.arange(len(end_B), device=end_B.device)
        return states_BSD, states_BSD[rows_B, end_B]


class VisionEmbeddings(nn.Module):
    """Patches of all frames, and the proxies in front of them, to tokens."""

    def __init__(self, config: ClipVipConfig) -> None:
        super().__init__()
        width = config.vision.hidden_size
        num_patches = (config.image_size // config.patch_size) ** 2
        self.config = config
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        # The published proxies start at N(0, 1), ten times the class token; here all are alike.
        self.added_cls = nn.Parameter(torch.randn(config.num_added_cls, width) * width**-0.5)
        self.patch_embedding = _patch_embedding(config)
        self.position_embedding = nn.Embedding(num_patches + 1, width)
        self.temporal_embedding = nn.Parameter(torch.zeros(1, config.temporal_size, width))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B,T,3,H,W] to tokens [B, M + T·L, D]."""
        b, t, _, height, width = pixels.shape
        size = self.config.image_size
        assert height == width == size, f"frames are {height}x{width}, the model wants {size}"
        patches = self.patch_embedding(pixels.flatten(0, 1)).flatten(2).transpose(1, 2)
        patches_BTLD = patches.unflatten(0, (b, t)) + self.position_embedding.weight[1:]
        patches_BTLD = patches_BTLD + self.time_embed(t)[:, :, None]
        proxies_MD = torch.cat([self.class_embedding[None], self.added_cls])
        proxies_MD = proxies_MD + self.position_embedding.weight[0]
        return torch.cat([proxies_MD.expand(b, -1, -1), patches_BTLD.flatten(1, 2)], dim=1)

    def time_embed(self, num_frames: int) -> Tensor:
        """[1,T,D]: the temporal table, resampled linearly for another number of frames."""
        if num_frames == self.temporal_embedding.shape[1]:
            return self.temporal_embedding
        table = self.temporal_embedding.transpose(1, 2)
        return F.interpolate(table, size=num_frames, mode="linear").transpose(1, 2)


class VisionTransformer(nn.Module):
    """The video tower: one transformer over proxies and all frames' patches."""

    def __init__(self, config: ClipVipConfig) -> None:
        super().__init__()
        width = config.vision.hidden_size
        self.num_proxies = config.num_proxies
        self.embeddings = VisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(width)  # spelled as in the published weights
        self.encoder = _encoder(config.vision)
        self.post_layernorm = nn.LayerNorm(width)

    def forward(
        self, pixels: Tensor, remember: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(last states [B,M+T·L,D], not normed; the class token's normed state [B,D])."""
        x = self.pre_layrnorm(self.embeddings(pixels))
        proxies = (self.num_proxies, pixels.shape[1])
        states = self.encoder(x, proxies=proxies, remember=remember)
        return states, self.post_layernorm(states[:, 0])


class ClipVip(DualEncoder):
    """Video and text towers with projections into one space."""

    def __init__(self, config: ClipVipConfig, *, num_frames: int | None = None) -> None:
        mean, std = ((0.5,) * 3, (0.25,) * 3) if config.stem_channels else (CLIP_MEAN, CLIP_STD)
        super().__init__(
            FrameSpec(
                num_frames=num_frames or config.temporal_size,
                size_px=config.image_size,
                fit="stretch" if config.stem_channels else "crop",
                mean=mean,
                std=std,
            )
        )
        self.config = config
        self.usual_lr = FROM_NOTHING_LR if config.stem_channels else PRETRAINED_LR
        self.text_model = TextTransformer(config)
        self.vision_model = VisionTransformer(config)
        self.embed_dim = dim = config.projection_dim
        self.text_projection = nn.Linear(config.text.hidden_size, dim, bias=False)
        self.visual_projection = nn.Linear(config.vision.hidden_size, dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init))
        self.apply(_initialise)

    def embed_video(self, video: Tensor) -> Tensor:
        _, pooled = self.vision_model(self.pixels(video))
        return unit(self.visual_projection(pooled))

    def embed_text(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        _, pooled = self.text_model(input_ids_BS, mask_BS)
        return unit(self.text_projection(pooled))

    def towers(self) -> dict[TowerKind, Tower]:
        return {
            "vision": _tower("vision_model.", "visual_projection.", self.config.vision),
            "text": _tower("text_model.", "text_projection.", self.config.text),
        }

    def config_json(self) -> dict[str, Any]:
        return self.config.to_json()


def _tower(model: str, projection: str, config: TowerConfig) -> Tower:
    return Tower(
        parts=(model, projection),
        below=(f"{model}embeddings.", f"{model}pre_layrnorm."),
        blocks=f"{model}encoder.layers.",
        num_blocks=config.num_hidden_layers,
    )


def _encoder(tower: TowerConfig) -> Encoder:
    return Encoder(
        tower.num_hidden_layers,
        tower.hidden_size,
        tower.intermediate_size,
        tower.num_attention_heads,
        tower.hidden_act,
    )


def _patch_embedding(config: ClipVipConfig) -> nn.Module:
    width, patch = config.vision.hidden_size, config.patch_size
    if not config.stem_channels:
        return nn.Conv2d(3, width, patch, stride=patch, bias=False)
    layers: list[nn.Module] = []
    channels = 3
    for out in config.stem_channels:
        layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GELU()]
        channels = out
    rest = patch // 2 ** len(config.stem_channels)
    assert rest >= 1, "the stem shrinks frames by more than a patch"
    return nn.Sequential(*layers, nn.Conv2d(channels, width, rest, stride=rest, bias=False))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
