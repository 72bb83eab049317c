"""CLIP-ViP's published files, by name and shape (a bare state_dict, `clipmodel.` in front)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.clip_vip import ClipVip, ClipVipConfig
from mama_train.models.weights import load_weights
from tests.train.models.crossmodal.names import Shapes, linear, norm


def layers(tower: str, width: int) -> Shapes:
    found: Shapes = {}
    for i in range(12):
        layer = f"{tower}.encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= linear(f"{layer}.self_attn.{part}", width, width)
        found |= norm(f"{layer}.layer_norm1", width) | norm(f"{layer}.layer_norm2", width)
        found |= linear(f"{layer}.mlp.fc1", 4 * width, width)
        found |= linear(f"{layer}.mlp.fc2", width, 4 * width)
    return found


def published(patch_px: int, num_frames: int) -> dict[str, Tensor]:
    cells = (224 // patch_px) ** 2
    seen, read = "vision_model.embeddings", "text_model.embeddings"
    shapes: Shapes = {
        f"{seen}.class_embedding": (768,),
        f"{seen}.patch_embedding.weight": (768, 3, patch_px, patch_px),
        f"{seen}.position_embedding.weight": (1 + cells, 768),
        f"{seen}.position_ids": (1, 1 + cells),
        f"{seen}.added_cls": (3, 768),
        f"{seen}.temporal_embedding": (1, num_frames, 768),
        **norm("vision_model.pre_layrnorm", 768),
        **layers("vision_model", 768),
        **norm("vision_model.post_layernorm", 768),
        f"{read}.token_embedding.weight": (49408, 512),
        f"{read}.position_embedding.weight": (77, 512),
        f"{read}.position_ids": (1, 77),
        **layers("text_model", 512),
        **norm("text_model.final_layer_norm", 512),
        "visual_projection.weight": (512, 768),
        "text_projection.weight": (512, 512),
        "logit_scale": (),
    }
    made = {f"clipmodel.{name}": shape for name, shape in shapes.items()}
    return {name: torch.empty(shape, device="meta") for name, shape in made.items()}


def model_of(patch_px: int, num_frames: int) -> ClipVip:
    added = {"temporal_size": num_frames}
    config = {"vision_config": {"patch_size": patch_px}, "vision_additional_config": added}
    with torch.device("meta"):
        return ClipVip(ClipVipConfig.from_json(config))


@pytest.mark.parametrize(("patch_px", "num_frames"), [(32, 12), (16, 12), (32, 32)])
def test_published_files_load_whole(patch_px: int, num_frames: int) -> None:
    model = model_of(patch_px, num_frames)
    assert load_weights(model, published(patch_px, num_frames), source="made") == []


def test_another_patch_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"patch_embedding\.weight \(768, 3, 16, 16\)"):
        load_weights(model_of(32, 12), published(16, 12), source="made")
