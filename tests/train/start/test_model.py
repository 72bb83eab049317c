"""What a run starts from: checkpoints of ours, and what does not fit is named."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig
from mama_train.export.folder import write_export
from mama_train.models.tokenizer import TextTokenizer
from mama_train.run import checkpoint
from mama_train.run.loop import train
from mama_train.run.setup import prepare
from mama_train.start.build import build, build_from_checkpoint
from mama_train.start.model import start_model
from mama_train.tasks.config import TaskConfig
from mama_train.tasks.retrieval import Retrieval
from tests.train.features_helper import write_feature_shards
from tests.train.published_helper import write_published

SIZES = {"train": 24, "meta": 6, "val": 6, "test": 6}

RETRIEVAL = Retrieval(TaskConfig())


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_shards(tmp_path_factory.mktemp("shards"), SIZES, noise=0.3)


@pytest.fixture(scope="module")
def first(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    train(config(shards, out))
    return out


def config(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {"model": "heads", "steps": 6, "batch_size": 12, "lr": 5e-3}
    fields |= {"tensorboard": False, "weights": "none"}
    return TrainConfig.of(**fields | changes, shards=str(shards), out=str(out))


def test_a_run_starts_from_a_run_or_an_exported_folder(
    first: Path, shards: Path, tmp_path: Path
) -> None:
    model, tokenizer = checkpoint.load_model(str(first))
    write_export(tmp_path / "exported", model, tokenizer, checkpoint=None)
    for init in (first, tmp_path / "exported"):
        for name in ("heads", "small"):  # the default of --model stands back
            setup = prepare(config(shards, tmp_path / init.name / name, init=str(init), model=name))
            for n, p in model.named_parameters():
                assert torch.equal(p, setup.trainee.model.get_parameter(n)), n
            assert setup.trainee.tokenizer.vocabulary() == tokenizer.vocabulary()
            assert any("starts as the Heads of" in note for note in setup.notes)
            assert not any("unknown" in note for note in setup.notes)
    result = train(config(shards, tmp_path / "again", init=str(first)))
    before = checkpoint.load_model(str(first))[0]
    assert result.metrics["val_at_start"]["text_to_video"] is not None
    assert not torch.equal(before.logit_scale, checkpoint.load_model(result.out)[0].logit_scale)


def test_words_that_the_first_model_never_saw_are_counted(first: Path, tmp_path: Path) -> None:
    tokenizer = checkpoint.load_model(str(first))[1]
    known = next(w for w in tokenizer.vocabulary() if w.isalpha())
    assert tokenizer.unknown_share([f"{known} zyzzyva", known]) == pytest.approx(1 / 3)
    assert tokenizer.unknown_share([known]) == 0


def test_a_missing_or_unfit_start_is_refused(first: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a checkpoint nor a run"):
        prepare(config(shards, tmp_path / "b", init=str(tmp_path / "nowhere")))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("clip"), "clip")


def start(published: Path, init: Path, kind: str, **changes: Any) -> tuple[Any, list[str]]:
    notes: list[str] = []
    fields = {"shards": "s", "model": f"{kind}:{published}", "init": str(init), **changes}
    found = start_model(TrainConfig.of(**fields), None, RETRIEVAL, notes, init=init)  # type: ignore[arg-type]
    return found, notes


def test_what_fits_is_taken_over_and_the_rest_is_named(published: Path, tmp_path: Path) -> None:
    given: Any
    given, tokenizer, _ = build(f"clip-vip:{published}", [], seed=9)
    with torch.no_grad():
        for parameter in given.parameters():
            parameter.add_(0.25)
    checkpoint.save_model(tmp_path / "same", given, tokenizer)
    found, notes = start(published, tmp_path / "same", "clip-vip")
    assert found.new == []
    num = len(given.state_dict())
    assert notes[-1] == f"{num} of {num} tensors are those of {tmp_path / 'same'}"
    for name, tensor in given.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor), name

    tower = given.config
    assert tower.temporal_size == 12
    longer = torch.nn.Parameter(torch.ones(1, 5, 16))
    given.vision_model.embeddings.temporal_embedding = longer
    given.config = dataclasses.replace(tower, temporal_size=5)
    checkpoint.save_model(tmp_path / "shorter", given, tokenizer)
    found, notes = start(published, tmp_path / "shorter", "clip-vip")
    name = "vision_model.embeddings.temporal_embedding"
    assert found.new == [name]
    assert f"of another shape: {name} (1, 5, 16) instead of (1, 12, 16)" in " ".join(notes)


def test_other_words_are_not_taken_for_the_same(published: Path, tmp_path: Path) -> None:
    given, tokenizer, _ = build(f"clip-vip:{published}", [], seed=9)
    words = sorted(tokenizer.vocabulary(), key=tokenizer.vocabulary().__getitem__)[1:-2]
    others = TextTokenizer.of_words([" ".join(reversed(words))], max_tokens=10)
    assert others.vocab_size == tokenizer.vocab_size
    checkpoint.save_model(tmp_path, given, others)
    found, notes = start(published, tmp_path, "clip-vip")
    assert any("of other words: text_model.embeddings.token_embedding" in n for n in notes)
    own = build(f"clip-vip:{published}", [], seed=0)[0]
    name = "text_model.embeddings.token_embedding.weight"
    assert torch.equal(found.model.get_parameter(name), own.get_parameter(name))


def test_nothing_that_fits_is_an_error(published: Path, first: Path) -> None:
    init = checkpoint.find_checkpoint(str(first))
    assert build_from_checkpoint(init)[0].embed_dim == 64
    with pytest.raises(InputError, match=r"nothing in .* \(Heads\) fits the model \(ClipMean\)"):
        start(published, init, "clip-mean")


def test_a_scale_above_the_bound_starts_at_it_and_is_told(tmp_path: Path) -> None:
    given, tokenizer, _ = build(f"clip-mean:{write_published(tmp_path / 'm', 'clip')}", [], seed=0)
    with torch.no_grad():
        given.logit_scale.fill_(math.log(116.5))
    checkpoint.save_model(tmp_path / "warm", given, tokenizer)
    settings = {"shards": "s", "model": str(tmp_path / "warm")}
    notes: list[str] = []
    found = start_model(TrainConfig.of(**settings), None, RETRIEVAL, notes)  # type: ignore[arg-type]
    assert found.model.logit_scale.detach().exp().item() == pytest.approx(100)
    assert "inverse temperature is 116.5; it starts at the bound, 100" in notes[0]
    with pytest.raises(InputError, match="max_logit_scale=117"):
        start_model(TrainConfig.of(**settings, max_logit_scale=50.0), None, RETRIEVAL, notes)  # type: ignore[arg-type]
