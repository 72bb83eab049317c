"""Small models and batches shared by the training tests."""

from __future__ import annotations

from typing import Any

import torch

from mama_train.data.batch import Batch
from mama_train.models.clip_vip import ClipVip, ClipVipConfig, TowerConfig


def tiny_config(**changes: Any) -> ClipVipConfig:
    fields: dict[str, Any] = {
        "text": TowerConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        ),
        "vision": TowerConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        ),
        "projection_dim": 12,
        "vocab_size": 30,
        "max_text_tokens": 8,
        "image_size": 16,
        "patch_size": 8,
        "temporal_size": 3,
        "num_added_cls": 2,
        "logit_scale_init": 2.0,
    }
    return ClipVipConfig(**fields | changes)


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any) -> ClipVip:
    torch.manual_seed(seed)
    model = ClipVip(tiny_config(**changes))
    # Away from the zeros of initialisation, so that no term of a gradient vanishes by accident.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model.to(dtype)


def random_batch(
    seed: int, num_rows: int = 6, dtype: torch.dtype = torch.float64, same: bool = True
) -> Batch:
    """Random clips and texts; with `same`, the first two rows have the same text."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 28, (num_rows, 8), generator=generator)
    ids[:, -1] = 29
    text_key = torch.arange(num_rows)
    if same:
        text_key[1] = text_key[0]
    return Batch(
        video=torch.randn(num_rows, 3, 3, 16, 16, generator=generator, dtype=dtype),
        input_ids_BS=ids,
        mask_BS=torch.ones_like(ids),
        clip_key_B=torch.arange(num_rows),
        text_key_B=text_key,
        frequency_B=torch.full((num_rows,), torch.nan),
        clip_ids=tuple(f"clip-{i}" for i in range(num_rows)),
    )
