"""VGT's published files, by name and shape: taken whole, or refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.crossmodal.published import load_published
from mama_train.models.vgt.config import VgtConfig
from mama_train.models.vgt.model import Vgt
from mama_train.models.vgt.published import VGT_KEYS
from tests.train.models.crossmodal.names import (
    Shapes,
    bert_embeddings,
    bert_layers,
    linear,
    norm,
)
from tests.train.models.vgt.conftest import tiny_config

WIDTH, HIDDEN, FEATURES = 512, 1024, 2048


def block(name: str, width: int) -> Shapes:
    found: Shapes = {}
    for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
        found |= linear(f"{name}.layer.0.attention.{part}", width, width)
    found |= norm(f"{name}.layer.0.sa_layer_norm", width)
    found |= linear(f"{name}.layer.0.ffn.lin1", HIDDEN, width)
    found |= linear(f"{name}.layer.0.ffn.lin2", width, HIDDEN)
    return found | norm(f"{name}.layer.0.output_layer_norm", width)


def published_shapes(num_regions: int) -> Shapes:
    half = WIDTH // 2
    found = {
        **bert_embeddings("amodel.bert.bert.embeddings"),
        **bert_layers("amodel.bert.bert.encoder.layer"),
        **linear("amodel.bert.bert.pooler.dense", 768, 768),
        **linear("amodel.linear_text", WIDTH, 768),
        "encode_vid.bbox_conv.0.weight": (128, 5, 1, 1),
        "encode_vid.bbox_conv.0.bias": (128,),
        "encode_vid.bbox_conv.3.weight": (128, 128, 1, 1),
        "encode_vid.bbox_conv.3.bias": (128,),
        **linear("encode_vid.tohid.0", WIDTH, FEATURES + 128),
        **linear("linear_video", WIDTH, FEATURES),
        **norm("norm_video", WIDTH),
        **block("ttrans", WIDTH),
        **block("graph_trans", num_regions**2),
        **block("mmt", WIDTH),
        **linear("gnn.fc_k", half, WIDTH),
        **linear("gnn.fc_q", half, WIDTH),
        "gnn.layers.0.weight": (WIDTH, half),
        "gnn.layers.0.bias": (half,),
        "gnn.layers.1.weight": (half, WIDTH),
        "gnn.layers.1.bias": (WIDTH,),
        **linear("satt_pool.0", half, WIDTH),
        **linear("satt_pool.2", 1, half),
        **linear("merge_fr.0", WIDTH, 2 * WIDTH),
        "position_v.position_embeddings.weight": (28, WIDTH),
        "position_v.modality_embedding.weight": (2, WIDTH),
        **norm("position_v.LayerNorm", WIDTH),
        **linear("vqproj.1", WIDTH, WIDTH),
        **linear("crossmodal_matching", 1, WIDTH),
        **linear("vocab_transform", WIDTH, WIDTH),
        **norm("vocab_norm", WIDTH),
        **linear("vocab_projector", 30522, WIDTH),
    }
    for i in (1, 4):
        found |= norm(f"encode_vid.bbox_conv.{i}", 128)
        for kind in ("running_mean", "running_var"):
            found[f"encode_vid.bbox_conv.{i}.{kind}"] = (128,)
        found[f"encode_vid.bbox_conv.{i}.num_batches_tracked"] = ()
    return {f"module.{name}": shape for name, shape in found.items()}


def made(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("num_regions", [5, 10, 20])
def test_published_files_load_whole(num_regions: int) -> None:
    with torch.device("meta"):
        model = Vgt(VgtConfig(num_regions=num_regions))
    new = load_published(model, made(published_shapes(num_regions)), VGT_KEYS, source="made")
    assert sorted(new) == [
        "logit_scale",
        "text_projection.weight",
        "video_projection.weight",
    ]


def test_what_does_not_fit_is_named() -> None:
    with torch.device("meta"):
        model = Vgt(VgtConfig())
    weights = made(published_shapes(5))
    del weights["module.mmt.layer.0.ffn.lin1.bias"]
    weights["module.stranger.weight"] = torch.empty(1, device="meta")
    weights["module.vqproj.1.bias"] = torch.empty(3, device="meta")
    with pytest.raises(InputError) as error:
        load_published(model, weights, VGT_KEYS, source="made")
    for name in ("mmt.layer.0.ffn.lin1.bias", "stranger.weight", "vqproj.1.bias"):
        assert name in str(error.value)


def test_every_value_of_ours_has_one_published_name() -> None:
    model = Vgt(tiny_config())
    back = {ours: theirs for theirs, ours in VGT_KEYS.renamed.items()}
    published = {}
    for name, tensor in model.state_dict().items():
        of = next((k for k in sorted(back, key=len, reverse=True) if name.startswith(k)), "")
        published[back.get(of, "") + name.removeprefix(of)] = tensor.clone()
    other = Vgt(tiny_config())
    assert load_published(other, published, VGT_KEYS, source="made") == []
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
