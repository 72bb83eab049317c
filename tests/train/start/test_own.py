"""A model of one's own: the same runs, checkpoints and meta steps as the others have."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train import FeatureSpec, FrameSpec, OwnModel, TextTokenizer, TrainConfig
from mama_train.models.towers import Tower
from mama_train.run import checkpoint
from mama_train.run.history import read_history
from mama_train.run.loop import train
from mama_train.run.setup import prepare
from mama_train.run.watch import Watch
from tests.train.features_helper import write_feature_shards

SIZES = {"train": 48, "meta": 12, "val": 12, "test": 12}


class Letters:
    """Somebody's tokenizer: one number per letter, 0 is padding."""

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        longest = max(len(text) for text in texts)
        rows = [[1 + ord(c) % 99 for c in t] + [0] * (longest - len(t)) for t in texts]
        ids = torch.tensor(rows)
        return ids, (ids > 0).long()

    def save(self, folder: Path) -> None:
        (folder / "letters.txt").write_text("no words")


class Mine(nn.Module):
    """Not of unit length, with a norm that keeps averages, and its own scale if wanted."""

    def __init__(self, *, has_scale: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.video = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Linear(16, 8))
        self.letters = nn.Embedding(100, 16, padding_idx=0)
        self.text = nn.GRU(16, 8, batch_first=True)
        if has_scale:
            self.logit_scale = nn.Parameter(torch.tensor(1.5))

    def embed_video(self, video: Tensor) -> Tensor:
        return 3 * self.video(video.mean(dim=1))

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        # A bag of letters: a GRU has no forward-mode derivative.
        return (self.letters(ids) * mask[..., None]).sum(1)[:, :8]


TOWERS = {
    "vision": Tower(parts=("video.",), num_blocks=1),
    "text": Tower(parts=("letters.", "text."), below=("letters.",), num_blocks=1),
}


def mine(**changes: Any) -> OwnModel:
    has_scale = changes.pop("has_scale", False)
    fields: dict[str, Any] = {"sees": FeatureSpec(num_frames=1, width=5), "tokenizer": Letters()}
    return OwnModel(**{"module": Mine(has_scale=has_scale), **fields, **changes})


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_shards(tmp_path_factory.mktemp("shards"), SIZES, noise=0.3)


def config(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {"steps": 30, "batch_size": 12, "lr": 2e-2, "tensorboard": False}
    fields |= {"eval_every": 10, "save_every": 10, "meta_every": 2}
    return TrainConfig.of(**fields | changes, shards=str(shards), out=str(out))


class CtrlC(Watch):
    """Presses it after the twelfth step."""

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        if row["step"] == 12:
            os.kill(os.getpid(), signal.SIGINT)


def test_it_learns_resumes_and_its_checkpoint_brings_it_back(shards: Path, tmp_path: Path) -> None:
    whole = train(config(shards, tmp_path / "whole"), model=mine())
    assert whole.metrics["weights"] == "mlp-meta"
    assert whole.metrics["test"]["text_to_video"]["R@1"] > 40  # chance is 17 %
    with pytest.raises(KeyboardInterrupt):
        train(config(shards, tmp_path / "parts"), model=mine(), watch=CtrlC())
    parts = train(config(shards, tmp_path / "parts"), model=mine())
    assert read_history(tmp_path / "parts") == read_history(tmp_path / "whole")
    assert parts.metrics["test"] == whole.metrics["test"]

    folder = checkpoint.find_checkpoint(whole.out)
    assert (folder / "letters.txt").read_text() == "no words"
    own = mine()
    encoder, tokenizer = checkpoint.load_model(whole.out, model=own)
    ids, mask = tokenizer.encode(["a red ball", "ab"])
    assert ids.shape == (2, 10)
    assert not torch.equal(own.module.get_parameter("letters.weight"), Mine().letters.weight)
    vectors = encoder.eval().embed_text(ids, mask)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    with pytest.raises(InputError, match=r"holds .*Mine, a model of somebody's own"):
        checkpoint.load_model(whole.out)


def test_another_module_does_not_continue_the_run(shards: Path, tmp_path: Path) -> None:
    train(config(shards, tmp_path / "run", steps=2), model=mine())

    class Other(Mine):
        pass

    with pytest.raises(InputError, match="model was 'own:Mine', now 'own:Other'"):
        train(config(shards, tmp_path / "run", steps=4), model=mine(module=Other()))


def test_its_scale_is_taken_or_made(shards: Path, tmp_path: Path) -> None:
    assert mine().encoder().logit_scale.detach().exp().item() == pytest.approx(1 / 0.07)
    encoder = mine(has_scale=True).encoder()
    assert encoder.logit_scale.detach().item() == 1.5
    trained = [n for n, p in encoder.named_parameters() if p.requires_grad and "scale" in n]
    assert trained == ["logit_scale"]
    setup = prepare(config(shards, tmp_path / "run", lr=None), own=mine(from_nothing=True))
    assert setup.optim.lr == 1e-3


def test_towers_make_it_freeze_and_without_them_that_is_refused(
    shards: Path, tmp_path: Path
) -> None:
    setup = prepare(config(shards, tmp_path / "a", freeze="vision"), own=mine(towers=TOWERS))
    names = {n for n, p in setup.trainee.model.named_parameters() if p.requires_grad}
    assert {n.split(".")[1] for n in names if "." in n} == {"letters", "text"}
    with pytest.raises(InputError, match="freeze is 'vision', but OwnEncoder does not say"):
        prepare(config(shards, tmp_path / "b", freeze="vision"), own=mine())


def test_looking_at_it_moves_no_average() -> None:
    own = mine()
    own.encoder()
    assert torch.equal(own.module.video[1].running_mean, torch.zeros(16))  # type: ignore[index, union-attr]


def test_frames_come_normalised() -> None:
    class Looks(Mine):
        def embed_video(self, video: Tensor) -> Tensor:
            self.seen = video
            return video.flatten(1)[:, :8]

    module = Looks()
    spec = FrameSpec(num_frames=2, size_px=4, mean=(0.5,) * 3, std=(0.25,) * 3)
    encoder = mine(module=module, sees=spec).encoder()
    encoder.embed_video(torch.full((1, 2, 4, 4, 3), 255, dtype=torch.uint8))
    assert module.seen.shape == (1, 2, 3, 4, 4)
    assert torch.equal(module.seen, torch.full((1, 2, 3, 4, 4), 2.0))


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="Linear has no method embed_video"):
        mine(module=nn.Linear(2, 2))
    with pytest.raises(InputError, match="the tokenizer is a dict without a method encode"):
        mine(tokenizer={})


def test_the_words_of_transformers_are_wrapped_once() -> None:
    words = TextTokenizer.of_words(["a b c"], max_tokens=6)
    assert mine(tokenizer=words).text_tokenizer() is words
