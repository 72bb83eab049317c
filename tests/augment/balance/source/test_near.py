"""Training clips that look like held-out ones are reported, or leave; all others stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.features.vectors import features_table
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import clip, write_clips

NUM_CLIPS = 60
WIDTH = 16


def vectors() -> np.ndarray:
    """Unit vectors, none near another but two pairs: c03 like c50, and c52 like c51."""
    found = np.random.default_rng(0).normal(size=(NUM_CLIPS, WIDTH))
    found[50] = found[3] + 0.12 * np.random.default_rng(1).normal(size=WIDTH)
    found[52] = found[51] * 3
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def write_features(path: Path, ids: list[str]) -> str:
    made = vectors().astype(np.float16)
    rows = [
        {"clip_id": i, "frame_seconds": [0.0], "frame_vectors": made[n : n + 1], "vector": made[n]}
        for n, i in enumerate(ids)
    ]
    parts = {f"{n:06d}": rows[n * 7 : n * 7 + 7] for n in range(-(-len(rows) // 7))}
    units = {unit_id: len(part) for unit_id, part in parts.items()}
    manifest = Manifest(step="features", config={}, input_fingerprint="x", units=units, versions={})
    step_dir = StepDir.create_or_resume(str(path), manifest)
    for unit_id, part in parts.items():
        step_dir.commit(unit_id, features_table(part))
    return str(path)


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, str]:
    """(clips, features): the first ten clips are given to test, c51 to val."""
    ids = [f"c{i:02d}" for i in range(NUM_CLIPS)]
    rows = [
        clip(
            clip_id,
            (f"a dog {i}", "human", i < 10 or i == 51),
            split="test" if i < 10 else "val" if i == 51 else "train",
        )
        for i, clip_id in enumerate(ids)
    ]
    return write_clips(tmp_path / "clips", rows), write_features(tmp_path / "features", ids)


def balanced(clips: str, out: Path, **settings: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """(split by clip, stats)."""
    (out.parent / "words.txt").write_text("dog\n")
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(out.parent / "words.txt")),
        balance=BalanceConfig(cap=float("inf")),
        sizes=SplitSizes(meta=0),
        **settings,
    )
    step_dir = run_balance(clips, [], str(out), step, RuntimeConfig(num_workers=1))
    assert audit(step_dir, deep=True).is_well
    tables = list(step_dir.tables(["clip_id", "split"]))
    found = {row["clip_id"]: row["split"] for table in tables for row in table.to_pylist()}
    return found, json.loads((out / "stats.json").read_text())


def test_what_looks_like_a_held_out_clip_is_named_or_leaves(
    world: tuple[str, str], tmp_path: Path
) -> None:
    clips, features = world
    plain, _ = balanced(clips, tmp_path / "plain")
    cosines = vectors() @ vectors().T
    assert cosines[3, 50] > 0.97, "or the test tests nothing"
    for mode in ("report", "drop"):
        found, stats = balanced(clips, tmp_path / mode, features=features, near_duplicates=mode)
        gone = plain.keys() - found.keys()
        assert gone == ({"c50", "c52"} if mode == "drop" else set())
        near = stats["near_duplicates"]
        assert near["kinds"] == {"train like test": 1, "train like val": 1}
        assert [(p["clip_id"], p["like"]) for p in near["first"]] == [
            ("c52", "c51"),
            ("c50", "c03"),
        ]
        assert near["first"][1]["cosine"] == pytest.approx(cosines[3, 50], abs=2e-3)
        is_warned = any("look like held-out ones" in warning for warning in stats["warnings"])
        assert is_warned == (mode == "report")
    assert stats["rejects"] == {"near_duplicate": 2}
    # A higher bar lets the pair through that is merely alike.
    found, _ = balanced(
        clips, tmp_path / "high", features=features, near_duplicates="drop", near_cosine=0.9995
    )
    assert plain.keys() - found.keys() == {"c52"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"near_duplicates": "drop"}, "--features DIR"),
        ({"features": "x"}, "--near-duplicates report"),
        ({"near_duplicates": "dorp", "features": "x"}, "did you mean 'drop'"),
        ({"near_duplicates": "drop", "features": "x", "near_cosine": 0}, "--near-cosine is 0"),
    ],
)
def test_options_that_miss_each_other_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BalanceStep(**settings)
