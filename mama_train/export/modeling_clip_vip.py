"""CLIP-ViP for transformers: video and text to unit vectors of one space.

This file stands alone: it travels with exported weights, and needs torch and transformers only.
One transformer runs over the patches of all frames, with a class token and further global tokens
(proxies) in front: these attend to everything, a patch to them and to its own frame. The text tower
is CLIP's, read at the largest token id (the end of the text).

Shapes: B clips or texts, T frames, P patches of a frame, M proxies, S text tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput


class ClipVipConfig(PretrainedConfig):
    """Sizes; `text_config` and `vision_config` are dictionaries in the layout of CLIP's."""

    model_type = "clip-vip"

    def __init__(self, **kwargs: Any) -> None:
        for name in ("text_config", "vision_config", "vision_additional_config"):
            setattr(self, name, kwargs.pop(name, {}))
        self.projection_dim = kwargs.pop("projection_dim", 512)
        super().__init__(**kwargs)


@dataclass
class ClipVipOutput(ModelOutput):
    """Unit vectors [B,D], and the similarities of all pairs times the learned scale."""

    video_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    logits_per_text: Tensor | None = None


class Attention(nn.Module):
    """Multi-head attention with an additive mask that broadcasts to [B,1,N,N]."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        width = tower["hidden_size"]
        self.num_heads = tower["num_attention_heads"]
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(found.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with (quick) GELU between them."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(tower["hidden_size"], tower["intermediate_size"])
        self.fc2 = nn.Linear(tower["intermediate_size"], tower["hidden_size"])
        self.is_quick = tower["hidden_act"] == "quick_gelu"

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x) if self.is_quick else F.gelu(x))


class Block(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(tower["hidden_size"])
        self.self_attn = Attention(tower)
        self.layer_norm2 = nn.LayerNorm(tower["hidden_size"])
        self.mlp = MLP(tower)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    """A stack of blocks."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(tower) for _ in range(tower["num_hidden_layers"]))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)
        return x


class TextEmbeddings(nn.Module):
    """Tokens and their places."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(tower["vocab_size"], tower["hidden_size"])
        places = tower["max_position_embeddings"]
        self.position_embedding = nn.Embedding(places, tower["hidden_size"])

    def forward(self, input_ids: Tensor) -> Tensor:
        return (
            self.token_embedding(input_ids) + self.position_embedding.weight[: input_ids.shape[1]]
        )


class TextTransformer(nn.Module):
    """Causal; the state at the end token [B,D]."""

    def __init__(self, tower: dict[str, Any]) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(tower)
        self.encoder = Encoder(tower)
        self.final_layer_norm = nn.LayerNorm(tower["hidden_size"])

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        x = self.embeddings(input_ids)
        s = input_ids.shape[1]
        mask = torch.full((s, s), -torch.inf, dtype=x.dtype, device=x.device).triu(1)[None, None]
        if attention_mask is not None:
            lowest = torch.finfo(x.dtype).min
            mask = mask + ((1 - attention_mask.to(x.dtype)) * lowest)[:, None, None, :]
        states = self.final_layer_norm(self.encoder(x, mask))
        return states[torch.arange(len(x), device=x.device), input_ids.argmax(dim=1)]


class VisionEmbeddings(nn.Module):
    """Patches of all frames, and the proxies in front of them [B, M + T·P, D]."""

    def __init__(self, tower: dict[str, Any], added: dict[str, Any]) -> None:
        super().__init__()
        width, patch = tower["hidden_size"], tower["patch_size"]
        num_patches = (tower["image_size"] // patch) ** 2
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.added_cls = nn.Parameter(torch.zeros(added["add_cls_num"], width))
        self.patch_embedding = _patch_embedding(width, patch, tower.get("stem_channels") or [])
        self.position_embedding = nn.Embedding(num_patches + 1, width)
        self.temporal_embedding = nn.Parameter(torch.zeros(1, added["temporal_size"], width))

    def forward(self, pixel_values: Tensor) -> Tensor:
        b, t = pixel_values.shape[:2]
        patches = self.patch_embedding(pixel_values.flatten(0, 1)).flatten(2).transpose(1, 2)
        patches = patches.unflatten(0, (b, t)) + self.position_embedding.weight[1:]
        times: Tensor = self.temporal_embedding
        if t != times.shape[1]:
            times = F.interpolate(times.transpose(1, 2), size=t, mode="linear").transpose(1, 2)
        patches = patches + times[:, :, None]
        proxies = torch.cat([self.class_embedding[None], self.added_cls])
        proxies = proxies + self.position_embedding.weight[0]
        return torch.cat([proxies.expand(b, -1, -1), patches.flatten(1, 2)], dim=1)


def _patch_embedding(width: int, patch: int, stem_channels: list[int]) -> nn.Module:
    if not stem_channels:
        return nn.Conv2d(3, width, patch, stride=patch, bias=False)
    layers: list[nn.Module] = []
    channels = 3
    for out in stem_channels:
        layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GELU()]
        channels = out
    rest = patch // 2 ** len(stem_channels)
    return nn.Sequential(*layers, nn.Conv2d(channels, width, rest, stride=rest, bias=False))


class VisionTransformer(nn.Module):
    """The class token's state [B,D]."""

    def __init__(self, tower: dict[str, Any], added: dict[str, Any]) -> None:
        super().__init__()
        self.num_proxies = 1 + added["add_cls_num"]
        self.embeddings = VisionEmbeddings(tower, added)
        self.pre_layrnorm = nn.LayerNorm(tower["hidden_size"])  # spelled as in published weights
        self.encoder = Encoder(tower)
        self.post_layernorm = nn.LayerNorm(tower["hidden_size"])

    def forward(self, pixel_values: Tensor) -> Tensor:
        x = self.pre_layrnorm(self.embeddings(pixel_values))
        num_frames, m = pixel_values.shape[1], self.num_proxies
        of_patch = torch.arange(x.shape[1] - m, device=x.device)
        frame = torch.cat(
            [of_patch.new_full((m,), -1), of_patch // ((x.shape[1] - m) // num_frames)]
        )
        sees = (frame[:, None] == frame[None]) | (frame[:, None] < 0) | (frame[None] < 0)
        mask = torch.zeros(sees.shape, dtype=x.dtype, device=x.device)
        return self.post_layernorm(
            self.encoder(x, mask.masked_fill(~sees, -torch.inf)[None, None])[:, 0]
        )


class ClipVipModel(PreTrainedModel):
    """`model(pixel_values=[B,T,3,H,W], input_ids=…, attention_mask=…)`; either side may be left
    out. `pixel_values` are the image processor's, of as many frames as you like."""

    config_class = ClipVipConfig

    def __init__(self, config: ClipVipConfig) -> None:
        super().__init__(config)
        text, vision = config.text_config, config.vision_config
        self.text_model = TextTransformer(text)
        self.vision_model = VisionTransformer(vision, config.vision_additional_config)
        self.text_projection = nn.Linear(text["hidden_size"], config.projection_dim, bias=False)
        self.visual_projection = nn.Linear(vision["hidden_size"], config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(0.0))
        self.post_init()

    def get_video_features(self, pixel_values: Tensor) -> Tensor:
        """Unit vectors of clips [B,D]."""
        return F.normalize(self.visual_projection(self.vision_model(pixel_values)), dim=-1)

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Unit vectors of texts [B,D]."""
        pooled = self.text_model(input_ids, attention_mask)
        return F.normalize(self.text_projection(pooled), dim=-1)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> ClipVipOutput:
        video = None if pixel_values is None else self.get_video_features(pixel_values)
        text = None if input_ids is None else self.get_text_features(input_ids, attention_mask)
        logits = None
        if video is not None and text is not None:
            logits = self.logit_scale.exp() * text @ video.T
        return ClipVipOutput(video_embeds=video, text_embeds=text, logits_per_text=logits)
