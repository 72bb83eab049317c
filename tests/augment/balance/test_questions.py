"""Questions in `balance`: visits of their concepts, accounted, kept apart by video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.concepts import ConceptConfig
from mama_augment.core.schema import CLIP_EXTRAS
from mama_augment.core.store.audit import audit
from mama_augment.core.store.sidecars import STATS_NAME, read_sidecar
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import clip, write_clips

COLOURS = ("red", "green", "blue")


def asked(name: str, number: int, answer: str | None, **more: Any) -> dict[str, Any]:
    given = {
        "question_id": f"{name}-{number}",
        "question": "what colour is it?",
        "options": None,
        "answer": answer,
        "answer_index": None,
        "type": "open",
        "question_group": None,
        "trusted": True,
        "is_aligned": None,
    }
    return {**given, **more}


def directory(path: Path, rows: list[dict[str, Any]]) -> str:
    return write_clips(path / "clips", rows, extra=[CLIP_EXTRAS.field("questions")])


def balanced(path: Path, clips: str, **how: Any) -> StepDir:
    (path / "colours.txt").write_text("\n".join(COLOURS))
    concepts = ConceptConfig(assigner="vocabulary", vocabulary=str(path / "colours.txt"))
    sizes = SplitSizes(meta=6, val=0, test=0)
    step = BalanceStep(concepts=concepts, sizes=sizes, balance=BalanceConfig(**how))
    return run_balance([clips], [], str(path / "shards"), step, RuntimeConfig())


def rows_of(shards: StepDir) -> list[dict[str, Any]]:
    return [row for table in shards.tables() for row in table.to_pylist()]


def test_clips_that_have_questions_alone_are_trained_on(tmp_path: Path) -> None:
    """The answers of nine in ten are red: the head is thinned, and the meta split is even."""
    rows = []
    for i in range(120):
        answers = [COLOURS[1 + i // 10 % 2] if i % 10 == 0 else "red" for _ in range(3)]
        questions = [asked(f"c{i}", k, answer) for k, answer in enumerate(answers)]
        rows.append(clip(f"c{i:03d}", questions=questions))
    shards = balanced(tmp_path, directory(tmp_path, rows), keep_share=0.4)
    found = rows_of(shards)
    train = [q["answer"] for r in found if r["split"] == "train" for q in r["questions"]]
    meta = [r["questions"][0]["answer"] for r in found if r["split"] == "meta"]
    assert sorted(meta) == ["blue", "blue", "green", "green", "red", "red"]
    assert 60 < len(train) < 200
    # Before, 27 red answers for each green or blue one are given.
    assert train.count("red") / max(1, train.count("green") + train.count("blue")) < 9
    assert all(r["captions"] == [] and r["questions"] for r in found)
    ledger = audit(shards, deep=True)
    assert ledger.problems == ()
    assert (ledger.num_in, ledger.num_ok) == (360, len(train) + 18)
    assert ledger.num_rejected == 360 - ledger.num_ok
    stats = read_sidecar(shards.folder, STATS_NAME)
    assert stats["splits"]["train"]["num_questions"] == len(train)
    assert stats["splits"]["train"]["num_captions"] == 0
    assert stats["rejects"] == {"head_dropped": ledger.num_rejected}
    assert not validate(str(tmp_path / "shards")).problems


def test_what_is_kept_of_a_question_is_as_it_was(tmp_path: Path) -> None:
    question = asked("a", 0, None, options=["red", "blue"], answer_index=1, is_aligned=False)
    rows = [
        clip("a", "a red thing", questions=[question, asked("a", 1, "red")], split="train"),
        clip("b", "a blue thing", questions=None, split="train"),
    ]
    shards = balanced(tmp_path, directory(tmp_path, rows), keep_share=1.0, max_captions_per_clip=1)
    found = {row["clip_id"]: row for row in rows_of(shards)}
    assert found["a"]["questions"] == rows[0]["questions"]
    assert found["b"]["questions"] is None
    assert [c["text"] for c in found["a"]["captions"]] == ["a red thing"]


@pytest.mark.parametrize("trusted", [True, None])
def test_a_held_out_split_takes_trusted_answers_alone(tmp_path: Path, trusted: bool | None) -> None:
    questions = [asked("t", k, "red", trusted=trusted if k else True) for k in range(2)]
    rows = [clip("t", questions=questions, split="test"), clip("a", "red", split="train")]
    shards = balanced(tmp_path, directory(tmp_path, rows), keep_share=1.0)
    (test,) = (row for row in rows_of(shards) if row["split"] == "test")
    assert len(test["questions"]) == (2 if trusted else 1)
    assert audit(shards).num_ok == 1 + len(test["questions"])


def test_a_question_that_cannot_be_is_named(tmp_path: Path) -> None:
    wrong = asked("a", 0, "red", options=["red", "blue"], answer_index=2)
    rows = [clip("a", "red", questions=[wrong], split="train"), clip("b", "a red one")]
    balanced(tmp_path, directory(tmp_path, rows), keep_share=1.0)
    (problem,) = validate(str(tmp_path / "shards")).problems
    assert "question a-0: answer_index is 2, of 2 options" in problem
