"""`small`: CLIP-ViP for a CPU and training from nothing on little data, and its initial values.

The published initialisation assumes pretrained CLIP: position tables near zero, an empty temporal
table. From nothing, on some hundred clips, such a model learns colours long before it learns
where and when; tables that start as sines of place and time, as large as the patches, help.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mama_train.models.clip_vip import ClipVip, ClipVipConfig, TowerConfig

MAX_TOKENS = 24

TABLE_SIZE = 0.5
"""Amplitude of the tables, patches having a standard deviation of about one."""


def small_config(vocab_size: int) -> ClipVipConfig:
    """CLIP-ViP for a CPU and training from nothing: six 32 px frames of 4x4 patches each, after
    two convolutions."""
    vision = TowerConfig(
        hidden_size=96, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4
    )
    text = TowerConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
    )
    return ClipVipConfig(
        text=text,
        vision=vision,
        projection_dim=64,
        vocab_size=vocab_size,
        max_text_tokens=MAX_TOKENS,
        image_size=32,
        patch_size=8,
        temporal_size=6,
        logit_scale_init=2.66,
        stem_channels=(32, 64),
    )


@torch.no_grad()
def initialise_from_nothing(model: ClipVip) -> None:
    """Overwrite patch convolutions, spatial and temporal table in place, from torch's RNG."""
    embeddings, config = model.vision_model.embeddings, model.config
    for module in embeddings.patch_embedding.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    width, side = config.vision.hidden_size, config.image_size // config.patch_size
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = [waves(axis.flatten(), width // 2, octaves=2) for axis in (x, y)]
    embeddings.position_embedding.weight[1:] = TABLE_SIZE * torch.cat(places, 1) @ rotation(width)
    time = torch.linspace(-1, 1, config.temporal_size)
    embeddings.temporal_embedding[0] = TABLE_SIZE * waves(time, width, octaves=3) @ rotation(width)


def waves(at: Tensor, width: int, *, octaves: float) -> Tensor:
    """[len(at), width]: sines and cosines of `at` in [-1, 1], half a wave long and shorter."""
    num = width // 2
    frequency = torch.pi / 2 * 2.0 ** (torch.arange(num) * octaves / num)
    angle = at[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def rotation(width: int) -> Tensor:
    """A random rotation, so that the tables do not single out some dimensions."""
    return torch.linalg.qr(torch.randn(width, width))[0]
