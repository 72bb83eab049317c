"""The light model on features: whole runs with all that the other models have, and its parts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train import commands
from mama_train.config import TrainConfig
from mama_train.data.batch import Batch
from mama_train.measure.config import Measured
from mama_train.models.heads import Heads, HeadsConfig
from mama_train.models.specs import FeatureSpec
from mama_train.objective.config import MarginLoss
from mama_train.objective.objective import Objective
from mama_train.run import checkpoint
from mama_train.run.history import read_history
from mama_train.run.loop import train
from mama_train.run.setup import prepare
from mama_train.run.watch import Watch
from mama_train.start.build import build_from_checkpoint
from tests.train.features_helper import write_feature_shards

SIZES = {"train": 48, "meta": 12, "val": 12, "test": 12}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_shards(tmp_path_factory.mktemp("shards"), SIZES, noise=0.3)


def config(shards: Path, out: Path, **changes: Any) -> TrainConfig:
    fields: dict[str, Any] = {"model": "heads", "steps": 40, "batch_size": 12, "lr": 5e-3}
    fields |= {"tensorboard": False, "eval_every": 20, "meta_every": 1}
    return TrainConfig.of(**fields | changes, shards=str(shards), out=str(out))


def test_training_learns_and_the_checkpoint_evaluates_to_the_same(
    shards: Path, tmp_path: Path
) -> None:
    result = train(config(shards, tmp_path / "run"))
    assert result.metrics["weights"] == "mlp-meta"
    assert result.metrics["test"]["text_to_video"]["R@1"] > 60  # chance is 17 %
    commands.run_export(str(tmp_path / "run"), out=str(tmp_path / "model"), overwrite=False)
    for path in (tmp_path / "run", tmp_path / "model"):
        where = Measured(checkpoint=str(path), shards=str(shards), device="cpu")
        commands.run_eval(where, protocol="own", out=str(tmp_path / "metrics.json"))
        assert json.loads((tmp_path / "metrics.json").read_text()) == result.metrics["test"]
        commands.run_embed(where, str(tmp_path / "vectors.parquet"))
        assert pq.read_table(tmp_path / "vectors.parquet").num_rows == 24


def test_a_checkpoint_keeps_sizes_and_column(tmp_path: Path) -> None:
    shards = write_feature_shards(tmp_path / "shards", SIZES, column="vectors")
    changes = {"features_column": "vectors", "heads_hidden": 7, "heads_dim": 4, "num_frames": 2}
    train(config(shards, tmp_path / "run", steps=2, **changes))
    model, _ = build_from_checkpoint(checkpoint.find_checkpoint(str(tmp_path / "run")))
    assert model.frame_spec == FeatureSpec(num_frames=2, width=5, column="vectors")
    assert (model.embed_dim, len(model.get_parameter("video_head.0.bias"))) == (4, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows_per_pass": 5},
        {"precision": "bf16"},
        {"meta_layers": 1},
        {"num_workers": 1, "cache_bytes": 0},
    ],
)
def test_memory_and_speed_options_train(
    shards: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    result = train(config(shards, tmp_path / "run", steps=4, **changes))
    assert result.metrics["num_steps"] == 4


class CtrlC(Watch):
    """Presses it after the third step."""

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        if row["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)


def test_resumed_is_the_undisturbed_run(shards: Path, tmp_path: Path) -> None:
    train(config(shards, tmp_path / "whole", steps=6))
    with pytest.raises(KeyboardInterrupt):
        train(config(shards, tmp_path / "parts", steps=6), watch=CtrlC())
    train(config(shards, tmp_path / "parts", steps=6), resume=True)
    assert read_history(tmp_path / "parts") == read_history(tmp_path / "whole")


def test_the_truth_as_weights_leaves_out_the_wrong_pairs(shards: Path, tmp_path: Path) -> None:
    train(config(shards, tmp_path / "run", weights="oracle", steps=2))
    steps = [r for r in read_history(tmp_path / "run") if r["kind"] == "step"]
    for row in steps:
        weights = [weight for _, weight in row["points"]]
        assert {round(w, 3) for w in weights} == {0, round(max(weights), 3)}
    without = write_feature_shards(tmp_path / "without", SIZES)
    with pytest.raises(ValueError, match="weights oracle needs the truth"):
        train(config(without, tmp_path / "other", weights="oracle"))
    assert not (tmp_path / "other").exists()


def model_and_batch() -> tuple[Heads, Batch]:
    torch.manual_seed(0)
    model = Heads(HeadsConfig(width=5, hidden=8, embed_dim=4, word_dim=6, vocab_size=20)).double()
    return model, Batch(
        video=torch.randn(6, 2, 5, dtype=torch.float64),
        input_ids_BS=torch.randint(0, 20, (6, 4)),
        mask_BS=torch.tensor([[1, 1, 1, i % 2] for i in range(6)]),
        clip_key_B=torch.arange(6),
        text_key_B=torch.arange(6),
        frequency_B=torch.ones(6),
    )


@pytest.mark.parametrize("chunk", [None, 4])
def test_the_forward_mode_pass_is_the_derivative(chunk: int | None) -> None:
    model, batch = model_and_batch()
    objective = Objective(model, MarginLoss(kind="none"), chunk=chunk)
    names = dict(model.named_parameters())
    tangent = {n: torch.randn_like(p) for n, p in names.items()}
    found_B = objective.loss_jvp(objective.encode(batch, for_jvp=True), tangent)

    def loss_at(share: float) -> torch.Tensor:
        moved = {n: p.detach() + share * tangent[n] for n, p in names.items()}
        embed: Callable[..., Any] = torch.func.functional_call
        video, text = embed(model, moved, batch.model_input())
        return objective.loss_B(batch, (video, text), moved["logit_scale"])

    numeric_B = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6
    torch.testing.assert_close(found_B, numeric_B, rtol=1e-6, atol=1e-8)


def test_padding_and_the_order_of_words_do_not_matter() -> None:
    model, batch = model_and_batch()
    ids, mask = batch.input_ids_BS, batch.mask_BS
    padded = torch.cat([ids.flip(1), torch.zeros(6, 2, dtype=torch.int64)], 1)
    mask_padded = torch.cat([mask.flip(1), torch.zeros(6, 2, dtype=torch.int64)], 1)
    torch.testing.assert_close(model.embed_text(padded, mask_padded), model.embed_text(ids, mask))


def test_a_head_and_its_words_are_a_tower_of_one_block() -> None:
    model, batch = model_and_batch()
    towers = model.towers()
    for name, _ in model.named_parameters():
        assert sum(t.holds(name) for t in towers.values()) == (name != "logit_scale"), name
    assert model.depth_of("word_embedding.weight") == 2
    assert {model.depth_of(n) for n, _ in model.named_parameters() if "_head." in n} == {1}
    assert "word_embedding.weight" not in model.upper_names(1)
    assert len(model.upper_names(1)) == 9
    model.freeze(["vision"])
    video, text = model(*batch.model_input())
    assert (video.requires_grad, text.requires_grad) == (False, True)


def test_a_frozen_head_stays_as_it_is_in_a_run(shards: Path, tmp_path: Path) -> None:
    models = []
    for name, changes in (("a", {}), ("b", {"freeze": "text"})):
        train(config(shards, tmp_path / name, steps=4, **changes))
        models.append(build_from_checkpoint(checkpoint.find_checkpoint(str(tmp_path / name)))[0])
    torch.manual_seed(0)
    moved = [
        n for n, p in models[0].named_parameters() if not torch.equal(p, models[1].get_parameter(n))
    ]
    assert {"text_head.0.weight", "video_head.0.weight"} <= set(moved)
    start = prepare(config(shards, tmp_path / "c", freeze="text")).trainee.model
    for name, parameter in start.named_parameters():
        is_text = name.startswith(("text_head.", "word_embedding."))
        assert torch.equal(parameter, models[1].get_parameter(name)) == is_text, name


def test_what_cannot_be_computed_again_says_so(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gradient_checkpointing is not for Heads"):
        prepare(config(shards, tmp_path / "run", gradient_checkpointing=True))
