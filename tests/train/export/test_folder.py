"""Exported folders: without this package, transformers computes with them what we compute."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.export.folder import write_export
from mama_train.models.base import DualEncoder
from mama_train.models.clip_vip import ClipVip
from mama_train.models.heads import Heads, HeadsConfig
from mama_train.models.small import small_config
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.start.build import build, build_from_checkpoint
from mama_train.start.own import OwnModel
from tests.train.conftest import tiny_config
from tests.train.published_helper import KINDS, TEXTS, write_published

NUM_FRAMES = 4
# What a folder's page tells people to run, in a Python that cannot import this package.
SCRIPT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mama_train", "mama_augment"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import re
import numpy as np
import torch
from pathlib import Path
from PIL import Image
for folder in sys.argv[2:]:
    page = Path(folder, "README.md").read_text()
    code = re.search("```python\\n(.*?)```", page, re.DOTALL).group(1)
    given = np.load(folder + "/given.npz")
    names = {"folder": folder, "texts": given["texts"].tolist()}
    if "frames" in given:
        names["frames"] = [Image.fromarray(frame) for frame in given["frames"]]
    else:
        names["features"] = torch.from_numpy(given["features"])
    exec(code, names)
    found, model = names["found"], names["model"]
    result = {"ids": names["texts"]["input_ids"], "text": found.text_embeds}
    result["video"] = names.get("video") if "video" in names else found.video_embeds[0]
    result["scale"] = model.logit_scale.detach().reshape(())
    result["logits"] = found.logits_per_text
    result["kind"] = type(model).__name__
    torch.save(result, folder + "/found.pt")
assert not [n for n in sys.modules if n.startswith("mama_")]
"""


def vip(config: Any, seed: int) -> DualEncoder:
    torch.manual_seed(seed)
    return ClipVip(config)


def models(root: Path) -> dict[str, tuple[DualEncoder, TextTokenizer]]:
    words = TextTokenizer.of_words(TEXTS, max_tokens=10)
    heads = Heads(
        HeadsConfig(width=5, hidden=8, embed_dim=4, word_dim=6, vocab_size=words.vocab_size)
    )
    sizes = {"vocab_size": words.vocab_size, "max_text_tokens": 10}
    found: dict[str, tuple[DualEncoder, TextTokenizer]] = {
        "clip-vip": (vip(tiny_config(**sizes), 1), words),
        "small": (vip(small_config(words.vocab_size), 2), words),
        "heads": (heads, words),
    }
    for kind in KINDS:
        folder = write_published(root / f"published-{kind}", kind)
        found[kind] = build(f"clip-mean:{folder}", [], seed=0)[:2]
    return found


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Path, DualEncoder, TextTokenizer, Tensor, dict[str, Any]]]:
    """By kind: the folder, our model and tokenizer, what it was given, and what was found."""
    root = tmp_path_factory.mktemp("exported")
    rng, made = np.random.default_rng(0), models(root)
    given = {}
    for kind, (model, tokenizer) in made.items():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        write_export(root / kind, model.eval(), tokenizer, checkpoint=None)
        spec = model.frame_spec
        if isinstance(spec, FrameSpec):
            shape = (NUM_FRAMES, spec.size_px, spec.size_px, 3)
            clip: Any = {"frames": rng.integers(0, 256, shape, np.uint8)}
        else:
            clip = {"features": rng.normal(size=(NUM_FRAMES, 5)).astype(np.float32)}
        np.savez(root / kind / "given.npz", texts=np.array(TEXTS), **clip)
        given[kind] = torch.from_numpy(next(iter(clip.values())))[None]
    command = [sys.executable, "-I", "-c", SCRIPT, "-", *(str(root / kind) for kind in made)]
    home = {"HF_HOME": str(root / "home"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={**os.environ, **home}
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return {
        kind: (root / kind, *made[kind], given[kind], torch.load(root / kind / "found.pt"))
        for kind in made
    }


CLASSES = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
    "clip-vip": "ClipVipModel",
    "small": "ClipVipModel",
    "heads": "HeadsModel",
}


@pytest.mark.parametrize("kind", CLASSES)
def test_without_this_package_the_page_computes_the_same(exported: Any, kind: str) -> None:
    _, model, tokenizer, clip, found = exported[kind]
    ids, mask = tokenizer.encode(TEXTS)
    with torch.no_grad():
        video_BD, text_BD = model(clip, ids, mask)
    assert found["kind"] == CLASSES[kind]
    assert torch.equal(found["ids"], ids)
    torch.testing.assert_close(found["text"], text_BD, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["video"], video_BD[0], atol=1e-5, rtol=0)
    assert float(found["scale"]) == float(model.logit_scale.detach())
    if kind in ("clip-vip", "small", "heads"):
        logits = model.logit_scale.detach().exp() * text_BD @ video_BD.T
        torch.testing.assert_close(found["logits"], logits, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_folder_is_a_model_of_ours_too(exported: Any, kind: str) -> None:
    folder, model, tokenizer, clip, _ = exported[kind]
    ids, mask = tokenizer.encode(TEXTS)
    for again, words in (build_from_checkpoint(folder), build(str(folder), [], seed=5)[:2]):
        assert type(again) is type(model)
        assert again.frame_spec == model.frame_spec
        assert torch.equal(words.encode(TEXTS)[0], ids)
        with torch.no_grad():
            assert torch.equal(again.embed_text(ids, mask), model.embed_text(ids, mask))
            assert torch.equal(again.embed_video(clip), model.embed_video(clip))
        assert torch.equal(again.logit_scale, model.logit_scale)


@pytest.mark.parametrize("kind", CLASSES)
def test_weights_are_all_those_that_the_classes_know(exported: Any, kind: str) -> None:
    from transformers import AutoModel

    folder = exported[kind][0]
    _, info = AutoModel.from_pretrained(folder, output_loading_info=True, trust_remote_code=True)
    assert not any(info.values()), info


def test_the_page_says_what_the_run_was(exported: Any, tmp_path: Path) -> None:
    _, model, tokenizer, *_ = exported["small"]
    checkpoint = tmp_path / "run" / "checkpoints" / "best"
    checkpoint.mkdir(parents=True)
    config = {"batch_size": 8, "lr": 0.5, "margin": None, "shards": "/secret/place"}
    content = {"progress": {"step": 12}, "config": config}
    (checkpoint / "run.json").write_text(json.dumps(content))
    ranks = {"R@1": 12.5, "R@5": 50.0, "R@10": 75.0, "num_queries": 24}
    metrics = {"test": {"text_to_video": ranks}}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    write_export(tmp_path / "out", model, tokenizer, checkpoint=checkpoint)
    page = (tmp_path / "out" / "README.md").read_text()
    assert "12 steps with mama-train: batch_size 8, lr 0.5." in page
    assert "(24 queries): R@1 12.5 %, R@5 50.0 %, R@10 75.0 %" in page
    assert "/secret" not in page
    assert len(re.findall("^```", page, re.MULTILINE)) == 2


def test_frames_become_pixels_as_the_processor_makes_them(exported: Any) -> None:
    from transformers import AutoImageProcessor

    for kind in ("clip", "siglip", "clip-vip", "small"):
        folder, model, _, clip, _ = exported[kind]
        processor = AutoImageProcessor.from_pretrained(folder)
        frames = [Image.fromarray(frame.numpy()) for frame in clip[0]]
        pixels = processor(images=frames, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(pixels, model.pixels(clip)[0], atol=1e-5, rtol=0)


def test_a_model_of_ones_own_has_no_layout_to_export(tmp_path: Path) -> None:
    class Mine(nn.Module):
        def embed_video(self, video: Tensor) -> Tensor:
            return video.mean(dim=(1, 3, 4))

        def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
            return nn.functional.one_hot(ids[:, 0] % 3, 3).float()

    words = TextTokenizer.of_words(TEXTS, max_tokens=10)
    own = OwnModel(module=Mine(), sees=FrameSpec(num_frames=2, size_px=16), tokenizer=words)
    with pytest.raises(InputError, match="cannot be exported"):
        write_export(tmp_path / "out", own.encoder(), words, checkpoint=None)
    assert not (tmp_path / "out").exists()
