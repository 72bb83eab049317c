"""The recorded VIOLET, and a small one with seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mama_train.models.crossmodal.bert import BertSize
from mama_train.models.crossmodal.published import load_published
from mama_train.models.violet.config import VioletConfig
from mama_train.models.violet.model import Violet
from mama_train.models.violet.published import violet_keys
from mama_train.models.violet.swin import SwinConfig

BERT = BertSize(
    vocab_size=99,
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=24,
    dropout=0.0,
)
SWIN: dict[str, Any] = {
    "channels": 8,
    "depths": (2, 2, 2, 2),
    "num_heads": (1, 2, 4, 8),
    "window": (8, 3, 3),
    "drop_path": 0.0,
}
RECORDED: dict[str, Any] = {
    "num_frames": 4,
    "max_side": 4,
    "image_size_px": 96,
    "num_classes": 11,
    "mask_id": 3,
}


@pytest.fixture(scope="session")
def recorded(shared_dir: Path) -> dict[str, Tensor]:
    path = shared_dir / "golden" / "violet.safetensors"
    if not path.is_file():
        pytest.skip("no recorded VIOLET outputs")
    return load_file(path)


@pytest.fixture(scope="session")
def recorded_qa(shared_dir: Path) -> dict[str, Tensor]:
    path = shared_dir / "golden" / "violet_qa.safetensors"
    if not path.is_file():
        pytest.skip("no recorded outputs of VIOLET's heads")
    return load_file(path)


def recorded_violet(
    recorded: dict[str, Tensor], head: dict[str, Tensor] | None = None, **choices: Any
) -> Violet:
    """With the recorded trunk and, of its own file, a class head; in evaluation mode."""
    swin = SwinConfig(**{**SWIN, "exact_windows": False})
    config = VioletConfig(swin=swin, bert=BERT, **{**RECORDED, **choices})
    prefix = "state_dict/"
    weights = {k.removeprefix(prefix): v for k, v in recorded.items() if k.startswith(prefix)}
    model = Violet(config)
    new = load_published(model, weights | (head or {}), violet_keys(config), source="recorded")
    assert sorted(new) == ["logit_scale", "text_projection.weight", "video_projection.weight"]
    return model.eval()


def head_of(recorded_qa: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"head_{name}/"
    return {k.removeprefix(prefix): v for k, v in recorded_qa.items() if k.startswith(prefix)}


def tiny_violet(*, drop_path: float = 0.0, dropout: float = 0.0, **choices: Any) -> Violet:
    """32 pixels, 3 frames; weights wide enough for every part to matter."""
    swin = SwinConfig(
        channels=8, depths=(2, 2), num_heads=(1, 2), window=(2, 3, 3), drop_path=drop_path
    )
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32}
    bert = BertSize(**sizes, num_attention_heads=2, max_position_embeddings=24, dropout=dropout)
    given = {"num_frames": 3, "max_side": 4, "image_size_px": 32, "num_classes": 5, "mask_id": 3}
    torch.manual_seed(0)
    model = Violet(VioletConfig(swin=swin, bert=bert, **{**given, "embed_dim": 8, **choices}))
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def some_video(num: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(num, 3, 3, 32, 32, generator=generator, dtype=torch.float64)


def some_texts(*shape: int, mask_token: bool = False) -> tuple[Tensor, Tensor]:
    """ids with 3 to S tokens each, and their mask; with a [MASK] at the last token."""
    generator = torch.Generator().manual_seed(11)
    ids = torch.randint(4, 40, shape, generator=generator)
    length = torch.randint(3, shape[-1] + 1, shape[:-1], generator=generator)
    mask = (torch.arange(shape[-1]) < length[..., None]).long()
    if mask_token:
        ids.scatter_(-1, length[..., None] - 1, 3)
    return ids * mask, mask
