"""The world of features has power: the truth as weights is worth many points, in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mama_augment.cli.shapes import ShapesCommand
from mama_augment.core.errors import InputError
from mama_augment.shapes.features.config import FeaturesConfig
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.world.config import WorldConfig
from mama_train.config import TrainConfig
from mama_train.run.loop import train


def make(out: Path, **changes: Any) -> str:
    sizes = {"num_train": 1500, "num_test": 200, "feature_noise": 0.6}
    features = FeaturesConfig(**sizes | changes)
    command = ShapesCommand(
        out=str(out),
        kind="features",
        world=WorldConfig(),
        plain=PlainConfig(),
        features=features,
        workers=1,
    )
    assert command() == 0
    return str(out)


def recall(shards: str, out: Path, **changes: Any) -> float:
    fields: dict[str, Any] = {"model": "heads", "steps": 250, "batch_size": 64, "lr": 2e-3}
    fields |= {"margin_kind": "none", "tensorboard": False, "eval_every": 250, "save_every": 250}
    result = train(TrainConfig.of(**fields | changes, shards=shards, out=str(out)))
    return float(result.metrics["test"]["text_to_video"]["R@1"])


def test_right_captions_teach_and_wrong_ones_cost_what_the_truth_gives_back(tmp_path: Path) -> None:
    clean, noisy = make(tmp_path / "clean", noise_rate=0.0), make(tmp_path / "noisy")
    equal = recall(noisy, tmp_path / "equal", weights="none")
    assert recall(clean, tmp_path / "right", weights="none") > 60
    assert recall(noisy, tmp_path / "oracle", weights="oracle") > equal + 15


def test_another_kind_is_refused(tmp_path: Path) -> None:
    command = ShapesCommand(
        out=str(tmp_path),
        kind="feature",
        world=WorldConfig(),
        plain=PlainConfig(),
        features=FeaturesConfig(),
    )
    with pytest.raises(InputError, match=r"--kind is 'feature'; did you mean .features"):
        command()
