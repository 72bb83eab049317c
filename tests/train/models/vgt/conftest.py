"""The recorded VGT, and a small one with seeded weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mama_train.models.crossmodal.bert import BertSize
from mama_train.models.crossmodal.published import load_published
from mama_train.models.vgt.config import Regions, VgtConfig
from mama_train.models.vgt.model import Vgt
from mama_train.models.vgt.published import VGT_KEYS

BERT = BertSize(
    vocab_size=99,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=40,
    dropout=0.0,
)


def tiny_config(**choices: object) -> VgtConfig:
    sizes = {"feature_dim": 24, "width": 32, "hidden": 64, "num_heads": 4, "num_regions": 5}
    return VgtConfig(**{**sizes, "bert": BERT, "dropout": 0.0, **choices})  # type: ignore[arg-type]


def tiny_vgt(**choices: object) -> Vgt:
    torch.manual_seed(0)
    model = Vgt(tiny_config(**choices)).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
            elif "norm" not in name.lower():
                parameter.normal_(std=0.05)
    return model


def some_regions(num: int = 3, *, masked: bool = False, clips: int = 3, frames: int = 2) -> Regions:
    generator = torch.Generator().manual_seed(7)

    def noise(*shape: int) -> Tensor:
        return torch.randn(num, clips, frames, *shape, generator=generator, dtype=torch.float64)

    mask = torch.rand(num, clips, frames, 5, generator=generator) < 0.6 if masked else None
    return Regions(noise(5, 24), noise(5, 5).abs(), noise(24), mask)


def some_texts(*shape: int) -> tuple[Tensor, Tensor]:
    """ids with 2 to L tokens each, and their mask."""
    generator = torch.Generator().manual_seed(11)
    ids = torch.randint(4, 99, shape, generator=generator)
    length = torch.randint(2, shape[-1] + 1, shape[:-1], generator=generator)
    mask = (torch.arange(shape[-1]) < length[..., None]).long()
    return ids * mask, mask


@pytest.fixture(scope="session")
def recorded(shared_dir: Path) -> dict[str, Tensor]:
    path = shared_dir / "golden" / "vgt.safetensors"
    if not path.is_file():
        pytest.skip("no recorded VGT outputs")
    return load_file(path)


def recorded_vgt(recorded: dict[str, Tensor], **choices: object) -> Vgt:
    """With the recorded weights, in evaluation mode."""
    model = Vgt(tiny_config(**{"text_pooling": "padded", **choices}))
    prefix = "state_dict/"
    weights = {k.removeprefix(prefix): v for k, v in recorded.items() if k.startswith(prefix)}
    new = load_published(model, weights, VGT_KEYS, source="recorded")
    assert all(name.startswith(("video_proj", "text_proj", "logit_scale")) for name in new)
    return model.eval()


def recorded_regions(recorded: dict[str, Tensor]) -> Regions:
    return Regions(
        recorded["input/region_feat"], recorded["input/box_feat"], recorded["input/video_f"]
    )
