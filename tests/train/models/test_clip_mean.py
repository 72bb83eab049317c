"""CLIP and SigLIP folders as frame-averaging dual encoders, and the same folder as CLIP-ViP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_train.data.batch import Batch
from mama_train.models.build import build, build_from_checkpoint
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.config import MarginLoss, Weighting
from mama_train.objective.meta import VirtualStep, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.run.checkpoint import save_model

TEXTS = ["a red square moves left", "a blue square moves up", "a white square"]
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny CLIP and SigLIP as transformers saves them, with a tokenizer."""
    from transformers import (
        CLIPConfig,
        CLIPModel,
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipModel,
    )

    torch.manual_seed(0)
    words = TextTokenizer.of_words(TEXTS, max_tokens=10)
    text = {**SIZES, "vocab_size": words.vocab_size, "max_position_embeddings": 10}
    vision = {**SIZES, "image_size": 16, "patch_size": 8}
    end = words.vocab_size - 1
    ids = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    models: dict[str, Any] = {
        "clip": CLIPModel(
            CLIPConfig(text_config={**text, **ids}, vision_config=vision, projection_dim=12)
        ),
        "siglip": SiglipModel(SiglipConfig(text_config={**text, **ids}, vision_config=vision)),
    }
    found = {}
    for name, model in models.items():
        found[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(found[name])
        PreTrainedTokenizerFast(
            tokenizer_object=words.fast.backend_tokenizer,
            bos_token="<|startoftext|>",
            eos_token="<|endoftext|>",
            pad_token="<|endoftext|>",
            model_max_length=10,
        ).save_pretrained(found[name])
    return found


def batch(tokenizer: TextTokenizer, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids, mask = tokenizer.encode(TEXTS)
    return Batch(
        video=torch.randint(0, 256, (3, 2, 16, 16, 3), generator=generator, dtype=torch.uint8),
        input_ids_BS=ids,
        mask_BS=mask,
        clip_key_B=torch.arange(3),
        text_key_B=torch.arange(3),
        frequency_B=torch.ones(3),
    )


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_frames_are_averaged_and_reload_is_the_same(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    model, tokenizer, _ = build(f"clip-mean:{folders[kind]}", [], seed=0, num_frames=2)
    rows = batch(tokenizer)
    with torch.no_grad():
        video, text = model(*rows.model_input())
        torch.testing.assert_close(video.norm(dim=1), torch.ones(3))
        frames = [model.embed_video(rows.video[:, i : i + 1]) for i in range(2)]
        mean = (frames[0] + frames[1]) / 2
        torch.testing.assert_close(video, mean / mean.norm(dim=1, keepdim=True))
        save_model(tmp_path, model, tokenizer)
        again, words = build_from_checkpoint(tmp_path)
        assert again.frame_spec == model.frame_spec
        ids, mask = words.encode(TEXTS)
        assert torch.equal(again.embed_text(ids, mask), text)
        assert torch.equal(again.embed_video(rows.video), video)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_an_export_is_a_model_that_transformers_and_we_load(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    from transformers import AutoModel

    model, tokenizer, _ = build(f"clip-mean:{folders[kind]}", [], seed=0, num_frames=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    save_model(tmp_path, model, tokenizer, published=True)
    _, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    ids, mask = tokenizer.encode(TEXTS)
    for again in (
        build_from_checkpoint(tmp_path)[0],
        build(f"clip-mean:{tmp_path}", [], seed=0)[0],
    ):
        assert torch.equal(again.embed_text(ids, mask), model.embed_text(ids, mask))
        torch.testing.assert_close(again.logit_scale, model.logit_scale)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_meta_step_is_exact_through_transformers(folders: dict[str, Path], kind: str) -> None:
    model, tokenizer, _ = build(f"clip-mean:{folders[kind]}", [], seed=0, num_frames=2)
    model.double()
    net = WeightNet(8).double()
    torch.nn.init.normal_(net.out.weight)
    objective = Objective(model, MarginLoss())
    rows, meta = batch(tokenizer, 1), batch(tokenizer, 2)

    weigh, step = Weigher(weighting=Weighting(), net=net), VirtualStep(lr=0.05)
    encoded = objective.encode(rows, for_jvp=True)
    found = meta_gradient(objective, encoded, meta, weigh, step)
    expected, _, _ = unrolled_meta_gradient(objective, rows, meta, weigh, step)
    for a, e in zip(found.theta_gradient, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-9, atol=1e-14)


def test_plain_clip_becomes_clip_vip(folders: dict[str, Path]) -> None:
    model, tokenizer, new = build(str(folders["clip"]), [], seed=0)
    assert new == [
        "vision_model.embeddings.added_cls",
        "vision_model.embeddings.temporal_embedding",
    ]
    mean, _, _ = build(f"clip-mean:{folders['clip']}", [], seed=0)
    ids, mask = tokenizer.encode(TEXTS)
    with torch.no_grad():
        torch.testing.assert_close(model.embed_text(ids, mask), mean.embed_text(ids, mask))


def test_missing_weights_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folders["clip"] / name).read_bytes())
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        build(str(tmp_path), [], seed=0)
