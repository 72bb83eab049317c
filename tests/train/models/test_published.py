"""Folders that others published: what we compute with them is what transformers computes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mama_augment.core.errors import InputError
from mama_train.data.frames import decode_frames
from mama_train.models.clip_mean import ClipMean
from mama_train.models.clip_vip import ClipVip
from mama_train.run.checkpoint import save_model
from mama_train.start.build import build, build_from_checkpoint, build_to_measure
from tests.train.published_helper import KINDS, TEXTS, write_published


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: write_published(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def pictures(num: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(num)]


@torch.no_grad()
def theirs(folder: Path, kind: str) -> tuple[Any, Any]:
    """(transformers' own outputs for three pictures and TEXTS, their token ids)."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    padding = "longest" if kind == "clip" else "max_length"
    texts = tokenizer(TEXTS, padding=padding, return_tensors="pt")
    if kind != "clip":
        texts.pop("attention_mask")
    texts.pop("token_type_ids", None)
    return model(**processor(pictures(3), return_tensors="pt"), **texts), texts["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_logits_are_those_of_transformers(
    folders: dict[str, Path], kind: str
) -> None:
    expected, expected_ids = theirs(folders[kind], kind)
    model, tokenizer, new = build(f"clip-mean:{folders[kind]}", [], seed=0, num_frames=1)
    ids, mask = tokenizer.encode(TEXTS)
    assert new == []
    assert torch.equal(ids, expected_ids)
    assert ids.shape[1] == (7 if kind == "clip" else 64)
    video = torch.stack([torch.from_numpy(np.array(p))[None] for p in pictures(3)])
    with torch.no_grad():
        video_BD, text_BD = model.eval()(video, ids, mask)
    torch.testing.assert_close(video_BD, expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(text_BD, expected.text_embeds, atol=1e-5, rtol=0)
    logits = model.logit_scale.exp() * text_BD @ video_BD.T
    if kind != "clip":  # the bias, which our loss and every ranking do without
        logits = logits - 7.0
    torch.testing.assert_close(logits, expected.logits_per_text, atol=1e-4, rtol=0)


def test_the_scale_of_a_published_model_is_left_as_it_is(tmp_path: Path) -> None:
    from transformers import SiglipModel

    write_published(tmp_path, "siglip")
    model = SiglipModel.from_pretrained(tmp_path)
    with torch.no_grad():
        model.logit_scale.fill_(4.77)  # SigLIP's, 118: more than CLIP's bound of 100
    model.save_pretrained(tmp_path)
    scale = build(str(tmp_path), [], seed=0)[0].logit_scale
    assert scale.detach().item() == pytest.approx(4.77)


@pytest.mark.parametrize(("kind", "fit"), zip(KINDS, ("crop", "stretch", "crop"), strict=True))
def test_frames_are_cut_as_the_image_processor_says(
    folders: dict[str, Path], kind: str, fit: str
) -> None:
    spec = build_to_measure(f"clip-mean:{folders[kind]}")[0].frame_spec
    said = json.loads((folders[kind] / "preprocessor_config.json").read_text())
    assert (spec.fit, spec.size_px) == (fit, 16)  # type: ignore[union-attr]
    assert list(spec.mean) == said["image_mean"]  # type: ignore[union-attr]
    columns = [[255 * (x // 16)] * 3 for x in range(32)]
    wide = Image.fromarray(np.array([columns] * 16, np.uint8))
    file = io.BytesIO()
    wide.save(file, "JPEG", quality=100)
    pixels = decode_frames([file.getvalue()], np.arange(1), spec, clip_id="c")[0]  # type: ignore[arg-type]
    # Half of the picture is white, however it is made square.
    assert pixels.mean() == pytest.approx(127.5, abs=6)
    assert pixels[:, :7].max() < 60 < 200 < pixels[:, 9:].min()


def test_other_statistics_than_the_usual_ones_are_taken_and_kept(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "model", "clip")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_mean": [0.1, 0.2, 0.3]}))
    for name in (str(folder), f"clip-mean:{folder}"):
        model, tokenizer, _ = build(name, [], seed=0)
        save_model(tmp_path / "saved", model, tokenizer)
        again, _ = build_from_checkpoint(tmp_path / "saved")
        for spec in (model.frame_spec, again.frame_spec):
            assert spec.mean == (0.1, 0.2, 0.3)  # type: ignore[union-attr]
        video = torch.full((1, 2, 16, 16, 3), 255, dtype=torch.uint8)
        assert again.pixels(video)[0, 0, 0].max() == pytest.approx((1 - 0.1) / 0.26862954)


def test_a_processor_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = write_published(tmp_path, "siglip")
    path = folder / "preprocessor_config.json"
    sizes = {"size": {"height": 24, "width": 24}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **sizes}))
    with pytest.raises(InputError, match="pictures of 24 px, its model takes 16"):
        build(str(folder), [], seed=0)


def test_zero_shot_takes_a_clip_as_the_mean_of_its_frames_and_says_so(
    folders: dict[str, Path],
) -> None:
    model, _, notes = build_to_measure(str(folders["clip"]))
    assert isinstance(model, ClipMean)
    assert "clip-mean" in notes[0]
    model, _, notes = build_to_measure(f"clip-vip:{folders['clip']}")
    assert isinstance(model, ClipVip)
    assert "as a run would start them" in notes[0]
    assert build_to_measure(str(folders["siglip2"]))[2] == []


def test_official_clip_vip_weights_are_taken_as_they_are(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """A bare state_dict, `clipmodel.` before its names, a plain CLIP's config; converted as the
    message about the torch file says."""
    model, _, _ = build(f"clip-vip:{folders['clip']}", [], seed=3)
    for file in folders["clip"].iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    state = {f"clipmodel.{n}": t for n, t in model.state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="is a pickle") as caught:
        build_to_measure(str(tmp_path))
    _, command = str(caught.value).split("python -c ")
    subprocess.run([sys.executable, "-c", command.strip('"')], cwd=tmp_path, check=True)
    again, tokenizer, notes = build_to_measure(str(tmp_path))
    assert (type(again), notes) == (ClipVip, [])
    ids, mask = tokenizer.encode(TEXTS)
    video = again.frame_spec.random_clips(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again.embed_video(video), model.embed_video(video))
        assert torch.equal(again.embed_text(ids, mask), model.embed_text(ids, mask))


def test_what_clip_vip_would_compute_otherwise_is_refused(tmp_path: Path) -> None:
    folder = write_published(tmp_path, "clip")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for changes in ({"hidden_act": "gelu_pytorch_tanh"}, {"layer_norm_eps": 1e-6}):
        changed = {**config, "vision_config": {**config["vision_config"], **changes}}
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=f"{next(iter(changes))} = .*clip-mean:FOLDER"):
            build(str(folder), [], seed=0)
        build(f"clip-mean:{folder}", [], seed=0)


def test_a_tokenizer_with_tokens_after_the_end_is_refused_by_clip_vip(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_published(tmp_path, "clip")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match="largest id"):
        build(str(folder), [], seed=0)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="type 'bert'; allowed: clip, clip-vip, siglip, siglip2"):
        build(str(tmp_path), [], seed=0)
