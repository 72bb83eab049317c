"""Frames to train on and questions go from the clips table to the shards as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.source import clips as clips_source
from mama_augment.concepts import ConceptConfig
from mama_augment.core.schema import CAPTION_EXTRAS, CLIP_EXTRAS, CLIPS, SHARDS, shards_like
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import clip, jpeg, write_clips

QUESTION = {
    "question_id": "q1",
    "question": "what moves?",
    "options": ["a cat", "a dog"],
    "answer": "a dog",
    "answer_index": 1,
    "type": "choice",
    "question_group": None,
    "trusted": None,
    "is_aligned": None,
}


def rows_with_extras(name: str, num: int = 20) -> list[dict[str, Any]]:
    """Every third clip has no frames to train on, every second one no questions."""
    found = []
    for i in range(num):
        frames = None if i % 3 == 0 else [jpeg(i + j) for j in range(5)]
        extras: dict[str, Any] = {
            "train_frames": frames,
            "train_frame_seconds": frames and [0.5 * j for j in range(5)],
            "questions": None if i % 2 else [QUESTION | {"question_id": f"{name}{i}"}],
        }
        found.append(clip(f"{name}{i:02d}", f"ball {i} of {name}", **extras))
    return found


def balance(path: Path, *clips: str) -> StepDir:
    (path / "phrases.txt").write_text("ball")
    concepts = ConceptConfig(assigner="vocabulary", vocabulary=str(path / "phrases.txt"))
    return run_balance(
        list(clips), [], str(path / "shards"), BalanceStep(concepts=concepts), RuntimeConfig()
    )


@pytest.mark.parametrize("ahead", [2**28, 0])
def test_they_pass_through_also_where_only_one_directory_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """Read unit by unit or, where units are large, by row groups."""
    monkeypatch.setattr(clips_source, "AHEAD_BYTES", ahead)
    rows = rows_with_extras("a")
    with_extras = write_clips(tmp_path / "a", rows, extra=list(CLIP_EXTRAS))
    without = write_clips(tmp_path / "b", [clip(f"b{i:02d}", f"ball {i}") for i in range(9)])
    shards = balance(tmp_path, without, with_extras)
    own = {row["clip_id"]: row for row in rows}
    found = [row for table in shards.tables() for row in table.to_pylist()]
    assert {row["clip_id"][0] for row in found} == {"a", "b"}
    for row in found:
        given = own.get(row["clip_id"], {})
        for name in CLIP_EXTRAS.names:
            assert row[name] == given.get(name), (row["clip_id"], name)
    assert not validate(str(tmp_path / "shards")).problems
    names = next(iter(shards.tables())).column_names
    assert names == [*SHARDS.names[:-1], *CLIP_EXTRAS.names, "captions"]


def test_shards_of_clips_without_them_have_the_schema_as_ever(tmp_path: Path) -> None:
    shards = balance(
        tmp_path, write_clips(tmp_path / "a", [clip("a", "ball"), clip("b", "a ball")])
    )
    assert next(iter(shards.tables())).schema.equals(SHARDS)


def test_what_shards_may_hold_is_known_by_its_columns() -> None:
    agreement = CAPTION_EXTRAS[0]
    captions = pa.list_(pa.struct([*SHARDS.field("captions").type.value_type, agreement]))
    scored = SHARDS.set(4, pa.field("captions", captions, nullable=False))
    assert shards_like(scored).equals(scored)
    assert shards_like(SHARDS).equals(SHARDS)
    asked = SHARDS.insert(4, CLIP_EXTRAS.field("questions"))
    assert shards_like(asked).equals(asked)
    wrong = SHARDS.insert(4, pa.field("questions", pa.string()))
    assert not shards_like(wrong).equals(wrong)
    assert shards_like(CLIPS).names == [*SHARDS.names]
