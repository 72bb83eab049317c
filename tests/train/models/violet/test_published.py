"""Published files of VIOLET and VIOLETv2, by name and shape: taken whole, or refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.crossmodal.published import load_published
from mama_train.models.violet.config import V1_SWIN, Form, VioletConfig
from mama_train.models.violet.model import Violet
from mama_train.models.violet.published import violet_keys
from mama_train.models.violet.swin import SwinConfig
from tests.train.models.crossmodal.names import (
    Shapes,
    bert_embeddings,
    bert_layers,
    linear,
    norm,
    word_head,
)

OWN = ["logit_scale", "text_projection.weight", "video_projection.weight"]
WINDOW_CELLS, BIASES = 8 * 7 * 7, 15 * 13 * 13


def swin_shapes(channels: int, num_heads: tuple[int, ...]) -> Shapes:
    name = "enc_img.swin"
    found: Shapes = {
        f"{name}.patch_embed.proj.weight": (channels, 3, 2, 4, 4),
        f"{name}.patch_embed.proj.bias": (channels,),
        **norm(f"{name}.patch_embed.norm", channels),
        **norm(f"{name}.norm", 8 * channels),
    }
    for i, depth in enumerate((2, 2, 18, 2)):
        width = channels * 2**i
        for j in range(depth):
            block = f"{name}.layers.{i}.blocks.{j}"
            found |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
            found |= linear(f"{block}.attn.qkv", 3 * width, width)
            found |= linear(f"{block}.attn.proj", width, width)
            found[f"{block}.attn.relative_position_bias_table"] = (BIASES, num_heads[i])
            found[f"{block}.attn.relative_position_index"] = (WINDOW_CELLS, WINDOW_CELLS)
            found |= linear(f"{block}.mlp.fc1", 4 * width, width)
            found |= linear(f"{block}.mlp.fc2", width, 4 * width)
        if i < 3:
            merging = f"{name}.layers.{i}.downsample"
            found |= norm(f"{merging}.norm", 4 * width)
            found[f"{merging}.reduction.weight"] = (2 * width, 4 * width)
    return found


def trunk_shapes(version: int) -> Shapes:
    channels, heads = (96, (3, 6, 12, 24)) if version == 1 else (128, (4, 8, 16, 32))
    found = {
        **swin_shapes(channels, heads),
        "enc_img.emb_cls": (1, 1, 1, 768),
        "enc_img.emb_pos": (1, 1, 1 + 14**2, 768),
        "enc_img.emb_len": (1, 6, 1, 768),
        "enc_img.emb_odr": (1, 1, 1, 768),
        **norm("enc_img.norm", 768),
        **bert_embeddings("enc_txt.emb_txt"),
        **bert_layers("trsfr.layer"),
    }
    if version == 2:
        found |= linear("enc_img.fc", 768, 1024)
        found |= {"emb_task": (10, 768), "dummy_param": (0,)}
    return found


def class_head(num: int) -> Shapes:
    return linear("fc.1", 1536, 768) | linear("fc.3", num, 1536)


def made(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def model_of(version: int, form: Form, num_classes: int = 1000) -> Violet:
    swin = V1_SWIN if version == 1 else SwinConfig()
    words = (2995, 6270) if form == "choice-truth" else ()
    with torch.device("meta"):
        return Violet(VioletConfig(swin=swin, form=form, num_classes=num_classes, word_ids=words))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("form", "num", "head"),
    [
        ("open-class", 1000, class_head(1000)),
        ("choice-class", 1, class_head(1)),
        ("pair", 1, class_head(1)),
        ("open-word", 1, word_head("fc_mtm")),
        ("choice-truth", 1, word_head("fc_mtm")),
    ],
)
def test_a_task_s_file_loads_whole(version: int, form: Form, num: int, head: Shapes) -> None:
    model = model_of(version, form, num)
    weights = made({**trunk_shapes(version), **head})
    keys = violet_keys(model.config)
    assert sorted(load_published(model, weights, keys, source="made")) == OWN
    in_parallel = {f"module.{name}": tensor for name, tensor in weights.items()}
    assert sorted(load_published(model, in_parallel, keys, source="made")) == OWN


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_pretraining_gives_all_but_the_answers(version: int) -> None:
    heads = {**class_head(1), **word_head("fc_mtm"), **linear("fc_mvm.1", 1536, 768)}
    weights = made({**trunk_shapes(version), **heads})
    model = model_of(version, "open-class")
    keys = violet_keys(model.config, new_head=True)
    head = ["fc.1.bias", "fc.1.weight", "fc.3.bias", "fc.3.weight"]
    assert sorted(load_published(model, weights, keys, source="made")) == sorted(OWN + head)
    with pytest.raises(InputError, match=r"fc\.3\.weight \(1, 1536\) instead of \(1000, 1536\)"):
        load_published(model, weights, violet_keys(model.config), source="made")


def test_what_does_not_fit_is_named() -> None:
    model = model_of(2, "open-class")
    weights = made({**trunk_shapes(2), **class_head(1000)})
    del weights["trsfr.layer.3.output.dense.bias"]
    weights["trsfr.layer.12.output.dense.bias"] = torch.empty(768, device="meta")
    with pytest.raises(InputError) as error:
        load_published(model, weights, violet_keys(model.config), source="made")
    for name in ("missing: trsfr.layer.3.output.dense", "left over: trsfr.layer.12.output.dense"):
        assert name in str(error.value)
    wrong = made({**trunk_shapes(1), **class_head(1000)})
    with pytest.raises(InputError, match=r"enc_img\.fc\.weight"):
        load_published(model, wrong, violet_keys(model.config), source="VIOLET's first")
