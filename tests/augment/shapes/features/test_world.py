"""The world of features: shards that training takes, with the truth in them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mama_augment.core.errors import InputError
from mama_augment.core.schema import HELD_OUT, feature_shards
from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from mama_augment.shapes.features.config import FeaturesConfig
from mama_augment.shapes.features.scenes import CONCEPTS, MOTIONS, FeaturesWorld
from mama_augment.shapes.shards.piece import Piece
from mama_augment.shapes.shards.step import MadeShards


def make(out: Path, **changes: Any) -> StepDir:
    sizes = {"num_train": 300, "num_meta": 40, "num_val": 40, "num_test": 80, "feature_dim": 8}
    step = MadeShards(FeaturesWorld(config=FeaturesConfig(**sizes | changes)))
    outcome = run(step, StepOutput(str(out)), RuntimeConfig(num_workers=2))
    assert outcome.exit_code == 0
    return StepDir.open(str(out), step="balance")


def piece_of(config: FeaturesConfig, split: str, num: int) -> Piece:
    return FeaturesWorld(config=config).piece(split, 0, num)


def vectors(piece: Piece) -> np.ndarray:
    flat = piece.columns["features"].flatten().flatten().to_numpy()
    return flat.reshape(len(piece.texts), -1)


def rows(directory: StepDir) -> pa.Table:
    return pa.concat_tables(directory.tables())


def test_it_is_valid_shards_with_sidecars(tmp_path: Path) -> None:
    table = rows(make(tmp_path / "world"))
    assert table.schema.equals(feature_shards(8))
    result = validate(str(tmp_path / "world"))
    assert not result.problems
    assert result.num_captions == table.num_rows == 460
    concepts = json.loads((tmp_path / "world" / "concepts.json").read_text())
    told = Counter(
        caption["concept_ids"][0]
        for row in table.to_pylist()
        for caption in row["captions"]
        if row["split"] == "train"
    )
    assert {c["id"]: c["num_after"] for c in concepts} == {i: told[i] for i in range(40)}
    stats = json.loads((tmp_path / "world" / "stats.json").read_text())
    assert stats["splits"]["test"]["num_rows"] == 80
    assert not stats["warnings"]


def test_captions_are_wrong_at_the_noise_rate_and_say_so(tmp_path: Path) -> None:
    config = FeaturesConfig(num_train=4000, seed=3)
    piece = piece_of(config, "train", 4000)
    assert piece.is_aligned_N.mean() == pytest.approx(0.6, abs=0.03)
    shown = [
        f"a {CONCEPTS[c]} {MOTIONS[m]}"
        for c, m in zip(piece.shown.concept_N, piece.shown.motion_N, strict=True)
    ]
    told_right = np.array([a == b for a, b in zip(shown, piece.texts, strict=True)])
    np.testing.assert_array_equal(told_right, piece.is_aligned_N)
    frequent = np.bincount(piece.shown.concept_N, minlength=40)
    assert frequent.max() > 20 * frequent.min()
    even = piece_of(FeaturesConfig(zipf_exponent=0, noise_rate=0), "train", 4000)
    assert even.is_aligned_N.all()
    assert np.bincount(even.shown.concept_N).max() < 2 * np.bincount(even.shown.concept_N).min()


def test_clean_splits_are_even_and_share_no_scene() -> None:
    seen: set[str] = set()
    for split in HELD_OUT:
        piece = piece_of(FeaturesConfig(), split, 400)
        assert piece.is_aligned_N.all()
        assert set(np.bincount(piece.shown.concept_N)) == {10}
        assert len(set(piece.texts)) == 400
        assert not seen & set(piece.texts)
        seen |= set(piece.texts)


def test_vectors_tell_the_scene_and_noise_hides_it() -> None:
    clear = FeaturesConfig(feature_noise=0)
    piece = piece_of(clear, "train", 2000)
    by_scene: dict[tuple[int, int], bytes] = {}
    for c, m, vector in zip(
        piece.shown.concept_N, piece.shown.motion_N, vectors(piece), strict=True
    ):
        assert by_scene.setdefault((c, m), vector.tobytes()) == vector.tobytes()
    assert len(set(by_scene.values())) == len(by_scene)
    noisy = piece_of(FeaturesConfig(feature_noise=0.5), "train", 2000)
    assert (vectors(noisy) - vectors(piece)).std() == pytest.approx(0.5, abs=0.01)


def test_the_seed_decides_it_all_and_it_resumes(tmp_path: Path) -> None:
    one = make(tmp_path / "one", seed=1)
    two = make(tmp_path / "two", seed=1)
    assert one.input_fingerprint() == two.input_fingerprint()
    assert make(tmp_path / "other", seed=2).input_fingerprint() != one.input_fingerprint()
    files = {path: path.read_bytes() for path in (tmp_path / "one").rglob("*.json")}
    make(tmp_path / "one", seed=1)
    assert files == {path: path.read_bytes() for path in (tmp_path / "one").rglob("*.json")}
    with pytest.raises(InputError):
        make(tmp_path / "one", seed=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_train", 0),
        ("num_val", -1),
        ("noise_rate", 1.5),
        ("feature_dim", 0),
        ("zipf_exponent", -1.0),
        ("feature_noise", float("nan")),
    ],
)
def test_dials_that_make_no_world_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        FeaturesConfig(**{name: value})  # type: ignore[arg-type]
