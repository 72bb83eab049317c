"""Scores reach the shards, texts that agree too little leave, and trusted ones stay."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from mama_train.data.index import read_index
from mama_train.data.rows import all_agreements
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips, write_scores


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, str, str]:
    """(clips, captions, scores): ten clips, a trusted text for the even ones, three captions."""
    rows = [
        clip(f"c{i}", (f"trusted {i}", "human", True), video=f"v{i}.mp4")
        if i % 2 == 0
        else clip(f"c{i}", f"given {i}", video=f"v{i}.mp4")
        for i in range(10)
    ]
    captions = [caption(f"c{i}", k, f"caption {i} {k}") for i in range(10) for k in range(3)]
    scores = {(f"c{i}", f"caption {i} {k}"): i / 10 + k / 100 for i in range(10) for k in range(3)}
    scores |= {(f"c{i}", f"given {i}"): -0.5 for i in range(1, 10, 2)}
    scores |= {(f"c{i}", f"trusted {i}"): -0.9 for i in range(0, 10, 2)}
    del scores["c9", "caption 9 2"]
    return (
        write_clips(tmp_path / "clips", rows),
        write_captions(tmp_path / "captions", captions),
        write_scores(tmp_path / "scores", scores),
    )


def balanced(
    world: tuple[str, str, str], tmp_path: Path, name: str, **settings: Any
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """(agreement by kept text, stats)."""
    (tmp_path / "words.txt").write_text("caption\ngiven\n")
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "words.txt")),
        balance=BalanceConfig(cap=float("inf")),
        sizes=SplitSizes(meta=0, val=0, test=0),
        **settings,
    )
    out = str(tmp_path / name)
    step_dir = run_balance(world[0], [world[1]], out, step, RuntimeConfig(num_workers=1))
    assert audit(step_dir, deep=True).is_well
    found = {
        text["text"]: text.get("agreement", "no column")
        for table in step_dir.tables()
        for row in table.to_pylist()
        for text in row["captions"]
    }
    return found, json.loads((Path(out) / "stats.json").read_text())


def test_shards_carry_agreement_and_training_reads_it(
    world: tuple[str, str, str], tmp_path: Path
) -> None:
    without, _ = balanced(world, tmp_path, "without")
    assert set(without.values()) == {"no column"}
    found, stats = balanced(world, tmp_path, "with", scores=world[2])
    assert found.keys() == without.keys()
    assert found["caption 3 1"] == pytest.approx(0.31)
    assert found["given 1"] == -0.5
    assert found["caption 9 2"] is None
    assert stats["scores"]["num_scored"] == 39
    assert any("1 of 40 texts have no score" in warning for warning in stats["warnings"])
    scores = all_agreements(read_index(str(tmp_path / "with"), "train"))
    assert len(scores) == 39
    assert scores[0] == pytest.approx(-0.9)


def test_what_agrees_too_little_leaves_unless_it_is_trusted(
    world: tuple[str, str, str], tmp_path: Path
) -> None:
    found, stats = balanced(world, tmp_path, "a", scores=world[2], min_agreement=0.4)
    assert found.keys() == {
        *(f"trusted {i}" for i in range(0, 10, 2)),
        *(f"caption {i} {k}" for i in range(4, 10) for k in range(3)),
    }
    assert stats["scores"]["low_agreement"] == stats["rejects"]["low_agreement"] == 17
    step_dir = StepDir.open(str(tmp_path / "a"))
    reasons = Counter(
        r.reason for u in step_dir.records().values() for r in step_dir.read_rejects(u)
    )
    assert reasons == {"low_agreement": 17}


def test_the_best_caption_of_a_model_stays_with_all_given_texts(
    world: tuple[str, str, str], tmp_path: Path
) -> None:
    found, stats = balanced(world, tmp_path, "b", scores=world[2], keep="best")
    assert {text for text in found if text.startswith("caption")} == {
        *(f"caption {i} 2" for i in range(9)),
        *("caption 9 1", "caption 9 2"),  # what has no score is not compared
    }
    assert sum(text.startswith(("given", "trusted")) for text in found) == 10
    assert stats["rejects"] == {"not_best": 19}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_agreement": 0.2}, "needs scores"),
        ({"keep": "best"}, "--keep best needs scores"),
        ({"keep": "bst"}, "did you mean 'best'"),
        ({"min_agreement": 1.5, "scores": "x"}, "from -1 to 1"),
    ],
)
def test_options_without_scores_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BalanceStep(**settings)
