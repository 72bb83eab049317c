"""CLIP and SigLIP (1, 2) folders as frame-averaging dual encoders, and a CLIP as CLIP-ViP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mama_train.data.batch import Batch
from mama_train.models.tokenizer import TextTokenizer
from mama_train.objective.config import MarginLoss, Weighting
from mama_train.objective.meta import VirtualStep, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.run.checkpoint import save_model
from mama_train.start.build import build, build_from_checkpoint
from tests.train.published_helper import KINDS, TEXTS, write_published


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny CLIP, SigLIP and SigLIP 2 as transformers saves them."""
    return {kind: write_published(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


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


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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
