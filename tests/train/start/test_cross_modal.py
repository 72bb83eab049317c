"""VIOLET and VGT from the command: runs that go on, checkpoints and exports that answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mama_augment.core.errors import InputError
from mama_train.commands import run_eval, run_export
from mama_train.config import TrainConfig
from mama_train.measure.config import Measured
from mama_train.models.answers import AnswerConfig
from mama_train.models.specs import RegionSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.vgt.config import tiny_vgt
from mama_train.models.vgt.model import Vgt
from mama_train.models.vgt.published import VGT_KEYS
from mama_train.models.violet.config import VioletConfig, tiny_violet
from mama_train.models.violet.model import Violet
from mama_train.run.checkpoint import find_checkpoint, load_model
from mama_train.run.loop import train
from mama_train.run.watch import Watch
from mama_train.start.build import build, build_to_measure
from tests.train.questions_helper import write_question_shards
from tests.train.regions_helper import EXTRACTOR, WIDTH, add_regions

SIZES = {"train": 12, "meta": 5, "val": 3, "test": 4}
MODELS = ("violet-tiny", "vgt-tiny")
WORDS = ["what colour is it red green blue white where does it go to the left right up down"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_question_shards(tmp_path_factory.mktemp("questions") / "shards", SIZES)
    return add_regions(folder)


def config(shards: Path, out: Path, model: str, task: str, **more: Any) -> TrainConfig:
    fields = {"steps": 3, "batch_size": 4, "meta_batch_size": 4, "num_frames": 2, "meta_every": 2}
    common = {"qa_answers": 8, "tensorboard": False, "model": model, "task": task}
    return TrainConfig.of(shards=str(shards), out=str(out), **common, **fields | more)


@pytest.mark.parametrize(
    ("model", "task"),
    [
        pytest.param("violet-tiny", "qa-open"),
        pytest.param("vgt-tiny", "qa-choice"),
        pytest.param("violet-tiny", "qa-choice", marks=pytest.mark.slow),
        pytest.param("vgt-tiny", "qa-open", marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_and_its_model_answers_the_same_everywhere(
    model: str, task: str, shards: Path, tmp_path: Path
) -> None:
    more = {"rows_per_pass": 3, "save_every": 2}
    whole = train(config(shards, tmp_path / "whole", model, task, **more))

    class Stops(Watch):
        def step(self, row: dict[str, Any], num_samples: int) -> None:
            if row["step"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(shards, tmp_path / "parts", model, task, **more), watch=Stops())
    parts = train(config(shards, tmp_path / "parts", model, task, **more))
    for name in ("model.safetensors", "weight_net.safetensors"):
        found = [find_checkpoint(run.out, which="last") / name for run in (parts, whole)]
        assert found[0].read_bytes() == found[1].read_bytes()
    run_export(whole.out, out=str(tmp_path / "export"), overwrite=False)
    told = []
    for place in (whole.out, str(tmp_path / "export")):
        where = Measured(checkpoint=place, shards=str(shards))
        run_eval(where, protocol="own", out=str(tmp_path / "eval.json"))
        told.append(json.loads((tmp_path / "eval.json").read_text()))
    assert told[0] == told[1]
    assert told[0]["by_type"] == whole.metrics["test"]["by_type"]
    assert logits(whole.out).std() > 0
    torch.testing.assert_close(logits(whole.out), logits(str(tmp_path / "export")), rtol=0, atol=0)
    page = (tmp_path / "export/README.md").read_text()
    assert "from mama_train import load_model" in page
    code = page.split("```python\n")[1].split("```")[0]
    loaded, _ = load_model(str(tmp_path / "export"))
    clip = loaded.frame_spec.random_clips(1, torch.Generator().manual_seed(0))[0]
    names: dict[str, Any] = {"folder": str(tmp_path / "export"), "clip": clip, "texts": ["red"]}
    exec(code, names)
    assert names["logits"].shape == (1, len(loaded.answer_head.config.answers) or 1)  # type: ignore[union-attr]


def logits(place: str) -> torch.Tensor:
    """Of noise and two questions."""
    model, tokenizer = load_model(place)
    model.eval()
    clips = model.frame_spec.random_clips(2, torch.Generator().manual_seed(3))
    assert model.answer_head is not None
    num = 1 if model.answer_head.config.kind == "qa-open" else 3
    ids, mask = tokenizer.encode(["red", "to the left", "what colour"] * num)
    ids, mask = ids[: 2 * num].unflatten(0, (2, num)), mask[: 2 * num].unflatten(0, (2, num))
    with torch.no_grad():
        return model.answer(model.look(clips), ids, mask)


@pytest.mark.parametrize("model", MODELS)
def test_retrieval_is_trained_too(model: str, shards: Path, tmp_path: Path) -> None:
    result = train(config(shards, tmp_path / "run", model, "retrieval"))
    assert result.metrics["test"]["text_to_video"]["num_queries"] > 0


def test_regions_of_another_extractor_are_refused(shards: Path, tmp_path: Path) -> None:
    result = train(config(shards, tmp_path / "run", "vgt-tiny", "qa-open"))
    folder = find_checkpoint(result.out)
    content = json.loads((folder / "config.json").read_text())
    assert content["mama_train_frames"]["extractor"] == EXTRACTOR
    content["mama_train_frames"]["extractor"] = "rf-detr+dinov2"
    (folder / "config.json").write_text(json.dumps(content))
    where = Measured(checkpoint=str(folder), shards=str(shards))
    with pytest.raises(InputError, match=r"of 'truth\+pixels', the model's of 'rf-detr"):
        run_eval(where, protocol="own", out=None)


def test_vgt_needs_regions(tmp_path: Path) -> None:
    plain = write_question_shards(tmp_path / "plain", SIZES)
    with pytest.raises(InputError, match="balance --regions"):
        train(config(plain, tmp_path / "run", "vgt-tiny", "qa-open"))


def published_folder(folder: Path, weights: dict[str, torch.Tensor], sizes: dict[str, Any]) -> Path:
    folder.mkdir()
    TextTokenizer.of_words(WORDS, max_tokens=20).save(folder)
    whole = {name: value.clone().contiguous() for name, value in weights.items()}
    save_file(whole, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


def test_published_violet_weights_are_taken_from_a_folder(tmp_path: Path) -> None:
    words = TextTokenizer.of_words(WORDS, max_tokens=20)
    sizes: VioletConfig = tiny_violet(words.vocab_size, num_frames=4)
    torch.manual_seed(5)
    given = Violet(sizes)
    own = ("video_projection", "text_projection", "logit_scale")
    weights = {f"module.{n}": t for n, t in given.state_dict().items() if not n.startswith(own)}
    fields = json.loads(json.dumps(given.config_json()["violet"]))
    folder = published_folder(tmp_path / "violet", weights, {"violet": fields})
    model, _, new = build(f"violet:{folder}", [], seed=0)
    assert sorted(new) == ["logit_scale", "text_projection.weight", "video_projection.weight"]
    for name, tensor in model.state_dict().items():
        assert name.startswith(own) or torch.equal(tensor, given.state_dict()[name])
    measured, _, told = build_to_measure(f"violet:{folder}")
    assert isinstance(measured, Violet)
    assert "video_projection.weight; these are measured as a run would start them" in told[0]
    # A head of one number is an option's, and stays; that of classes starts anew.
    kept = model.answer_with(AnswerConfig(kind="qa-choice", width=64), words)
    assert kept == []
    new = model.answer_with(AnswerConfig(kind="qa-open", width=64, answers=("a", "b", "c")), words)
    assert "fc.3.weight" in new
    assert model.get_parameter("fc.3.weight").shape == (3, 192)
    del weights["module.trsfr.layer.1.output.dense.bias"]
    folder = published_folder(tmp_path / "broken", weights, {"violet": fields})
    with pytest.raises(InputError, match=r"missing: trsfr\.layer\.1\.output\.dense\.bias"):
        build(f"violet:{folder}", [], seed=0)


def test_published_vgt_weights_are_taken_from_a_folder(tmp_path: Path) -> None:
    words = TextTokenizer.of_words(WORDS, max_tokens=20)
    sizes = tiny_vgt(words.vocab_size, num_regions=5, num_frames=2, width=WIDTH)
    spec = RegionSpec(num_clips=3, num_frames=2, num_regions=5, width=WIDTH, extractor="butd")
    torch.manual_seed(5)
    given = Vgt(sizes, spec)
    back = {ours: theirs for theirs, ours in VGT_KEYS.renamed.items()}
    weights = {}
    for name, tensor in given.state_dict().items():
        if not name.startswith(tuple(VGT_KEYS.new)):
            of = next((k for k in sorted(back, key=len, reverse=True) if name.startswith(k)), "")
            weights[f"module.{back.get(of, '')}{name.removeprefix(of)}"] = tensor
    fields = json.loads(json.dumps(given.config_json()["vgt"]))
    del fields["feature_dim"], fields["num_regions"]
    folder = published_folder(tmp_path / "vgt", weights, {"vgt": fields})
    model, _, new = build(f"vgt:{folder}", [], seed=0, regions=lambda: spec)
    assert set(new) == {
        "logit_scale",
        "text_projection.weight",
        "video_projection.weight",
        "video_tokens.frame_position",
    }
    for name, tensor in model.state_dict().items():
        is_own = name.startswith(tuple(VGT_KEYS.new))
        assert is_own or torch.equal(tensor, given.state_dict()[name]), name
