"""Vectors and scores of real models: those that transformers and the exported page compute."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.features.vectors import vectors_of
from tests.augment.worlds import caption, clip, write_captions, write_clips
from tests.train.program import call
from tests.train.published_helper import TEXTS, write_published
from tests.train.shards_helper import write_shards


def run(*words: str) -> Any:
    return CliRunner().invoke(app, words)


def ok(*words: str) -> None:
    result = run(*words)
    assert result.exit_code == 0, (result.output, result.exception)


def rows_of(directory: str) -> list[dict[str, Any]]:
    return [row for table in StepDir.open(directory).tables() for row in table.to_pylist()]


def frames_of(row: dict[str, Any]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in row["frames"]]


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, str]:
    rows = [clip(f"c{i:02d}", TEXTS[i % 3], num_frames=1 + i % 4) for i in range(9)]
    captions = [
        caption(f"c{i:02d}", k, TEXTS[(i + k) % 3] if k < 2 else None)
        for i in range(9)
        for k in range(3)
    ]
    return write_clips(tmp_path / "clips", rows), write_captions(tmp_path / "captions", captions, 9)


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_vectors_and_scores_are_those_of_the_model(
    kind: str, world: tuple[str, str], tmp_path: Path
) -> None:
    import transformers as t

    model = str(write_published(tmp_path / "model", kind))
    features, scores = str(tmp_path / "features"), str(tmp_path / "scores")
    ok("features", world[0], "--model", model, "--out", features)
    made = rows_of(features)
    net = t.AutoModel.from_pretrained(model).eval()
    processor = t.AutoImageProcessor.from_pretrained(model)
    tokenizer = t.AutoTokenizer.from_pretrained(model)
    padding = True if kind == "clip" else "max_length"
    length = 10 if kind == "clip" else 64
    words = tokenizer(
        TEXTS, padding=padding, truncation=True, max_length=length, return_tensors="pt"
    )
    wanted: dict[str, Any] = {}
    texts = None
    for row in rows_of(world[0]):
        images = processor(images=frames_of(row), return_tensors="pt")
        with torch.no_grad():
            found = net(**images, **words)
        frames = torch.nn.functional.normalize(found.image_embeds, dim=-1)
        wanted[row["clip_id"]] = torch.nn.functional.normalize(frames.mean(dim=0), dim=0)
        texts = torch.nn.functional.normalize(found.text_embeds, dim=-1)
        (mine,) = [other for other in made if other["clip_id"] == row["clip_id"]]
        assert np.allclose(mine["frame_vectors"], frames.numpy(), atol=1e-3)
        assert np.allclose(mine["vector"], wanted[row["clip_id"]].numpy(), atol=1e-3)
        assert mine["frame_seconds"] == row["frame_seconds"]
    assert texts is not None
    vectors = np.concatenate([vectors_of(table) for table in StepDir.open(features).tables()])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)

    ok("score", *world, "--features", features, "--model", model, "--out", scores)
    scored = rows_of(scored_dir := scores)
    assert audit(StepDir.open(scored_dir), deep=True).is_well
    assert len(scored) == 9 + 18
    for row in scored:
        place = TEXTS.index(row["text"])
        agreement = float(texts[place] @ wanted[row["clip_id"]])
        assert row["agreement"] == pytest.approx(agreement, abs=2e-3)
        if row["source"] == "human":
            assert row["consistency"] is None
        else:  # of two captions, the cosine of both
            other = TEXTS.index(TEXTS[(int(row["clip_id"][1:]) + 1 - row["caption_index"]) % 3])
            assert row["consistency"] == pytest.approx(float(texts[place] @ texts[other]), abs=1e-4)


def test_an_exported_run_of_ours_needs_no_hub(world: tuple[str, str], tmp_path: Path) -> None:
    from mama_train.start.build import build_from_checkpoint

    shards = write_shards(tmp_path / "shards", {"train": 16, "meta": 4, "val": 4, "test": 4})
    fast = ("--steps", "1", "--batch-size", "8", "--num-frames", "3", "--no-tensorboard")
    assert call("run", str(shards), "--out", str(tmp_path / "run"), *fast) == 0
    model = str(tmp_path / "model")
    assert call("export", str(tmp_path / "run"), "--out", model) == 0
    refused = run("features", world[0], "--model", model, "--out", str(tmp_path / "f"))
    assert isinstance(refused.exception, InputError)
    assert "--trust-remote-code" in str(refused.exception)
    trusted = ("--model", model, "--trust-remote-code")
    ok("features", world[0], *trusted, "--out", str(tmp_path / "f"))
    ok("score", *world, *trusted, "--features", str(tmp_path / "f"), "--out", str(tmp_path / "s"))
    ours, tokenizer = build_from_checkpoint(Path(model))
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(model)
    clips = {row["clip_id"]: row for row in rows_of(world[0])}
    ids, mask = tokenizer.encode(TEXTS)
    with torch.no_grad():
        texts = torch.nn.functional.normalize(ours.eval().embed_text(ids, mask), dim=-1)
    assert len(rows_of(str(tmp_path / "s"))) == 27
    for row in rows_of(str(tmp_path / "s")):
        frames = frames_of(clips[row["clip_id"]])
        size = ours.frame_spec.num_frames
        places = np.unique(np.linspace(0, len(frames) - 1, size).round().astype(int))
        if len(frames) > size:
            continue  # which frames are taken is the other test's
        pixels = processor(images=[frames[i] for i in places], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            video = torch.nn.functional.normalize(ours.embed_video(pixels[None])[0], dim=0)
        wanted = float(texts[TEXTS.index(row["text"])] @ video)
        assert row["agreement"] == pytest.approx(wanted, abs=3e-3)


def test_a_broken_clip_costs_itself_and_growth_costs_what_is_new(tmp_path: Path) -> None:
    model = str(write_published(tmp_path / "model", "clip"))
    rows = [clip(f"c{i}", TEXTS[0]) for i in range(6)]
    rows[1]["frames"][1] = b"no jpeg"
    rows[2] |= {"frames": [], "frame_seconds": [], "frame_index": [], "num_key_frames": 0}
    clips = write_clips(tmp_path / "clips", rows, 3)
    out, scores = str(tmp_path / "features"), str(tmp_path / "scores")
    ok("features", clips, "--model", model, "--out", out)
    ledger = audit(StepDir.open(out), deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (6, 4, 2)
    before = {path: path.stat().st_mtime_ns for path in Path(out).glob("*.parquet")}
    more = write_clips(tmp_path / "more", [clip(f"d{i}", TEXTS[1]) for i in range(4)])
    ok("features", clips, more, "--model", model, "--out", out)
    assert audit(StepDir.open(out), deep=True).num_in == 10
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    fresh = str(tmp_path / "fresh")
    ok("features", clips, more, "--model", model, "--out", fresh)
    assert rows_of(fresh) == rows_of(out)
    ok("score", clips, more, "--features", out, "--model", model, "--out", scores)
    lost = run("status", scores, "--list", "rejected", "--json")
    assert [i["reason"] for i in json.loads(lost.stdout)["items"]] == ["no_features"] * 2
    other = str(write_published(tmp_path / "other", "siglip"))
    refused = run("score", clips, "--features", out, "--model", other, "--out", scores + "2")
    assert "were made by model" in str(refused.exception)
    refused = run("features", clips, more, "--model", other, "--out", out)
    assert "made with another config" in str(refused.exception)


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", [clip("c")])
    folder = tmp_path / "odd"
    folder.mkdir()
    out = ("--out", str(tmp_path / "f"))
    for model, words in {
        "clipp-b32": "give one of clip-b32",
        str(folder): "no config.json",
        str(tmp_path / "nowhere"): "not a folder",
    }.items():
        assert words in str(run("features", clips, "--model", model, *out).exception)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    assert "type 'bert'" in str(run("features", clips, "--model", str(folder), *out).exception)
    (folder / "config.json").write_text('{"model_type": "clip"}')
    assert "cannot be loaded" in str(run("features", clips, "--model", str(folder), *out).exception)
    assert not any(path.suffix == ".parquet" for path in (tmp_path / "f").rglob("*"))
    shutil.rmtree(folder)
