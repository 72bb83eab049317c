"""`validate` finds what is wrong with shards and names the row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.plan import BalanceConfig
from mama_augment.runtime import RuntimeConfig
from mama_augment.schema import SHARDS
from mama_augment.splits import SplitSizes
from mama_augment.steps.balance import BalanceStep, run_step
from mama_augment.store import StepDir
from mama_augment.validate import validate
from tests.augment.worlds import clip, write_clips


@pytest.fixture
def shards(tmp_path: Path) -> str:
    rows = [
        clip(f"c{i}", (f"a red ball {i}", "human", i % 2 == 0), video=f"v{i // 2}.mp4")
        for i in range(40)
    ]
    clips = write_clips(tmp_path / "clips", rows)
    (tmp_path / "phrases.txt").write_text("red")
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "phrases.txt")),
        balance=BalanceConfig(cap=float("inf")),
        sizes=SplitSizes(meta=3, val=0, test=3),
    )
    run_step(clips, [], str(tmp_path / "shards"), step, RuntimeConfig())
    return str(tmp_path / "shards")


def rewrite(shards: str, unit_id: str, **columns: object) -> None:
    """Commit a unit again with other values in its first row, as a foreign writer might."""
    step_dir = StepDir.open(shards)
    table = step_dir.read_unit(unit_id)
    record = step_dir.record(unit_id)
    assert table is not None
    assert record is not None
    rows = table.to_pylist()
    rows[0] |= columns
    split = unit_id.partition("-")[0]
    rejects = step_dir.read_rejects(record)
    step_dir.commit(unit_id, pa.Table.from_pylist(rows, SHARDS), rejects, subfolder=split)


def test_sound_shards_are_valid(shards: str, tmp_path: Path) -> None:
    result = validate(shards, clips=str(tmp_path / "clips"))
    assert result.problems == []
    assert result.num_rows == {"train": 28, "meta": 3, "val": 0, "test": 3}
    assert result.num_decoded_frames == 2 * 34
    command = CliRunner().invoke(app, ["validate", shards, "--clips", str(tmp_path / "clips")])
    assert command.exit_code == 0
    assert "valid" in command.output


def test_each_wrong_row_is_named(shards: str) -> None:
    table = StepDir.open(shards).read_unit("train-00000")
    assert table is not None
    first = table.slice(0, 1).to_pylist()[0]
    second_id = table["clip_id"][1].as_py()
    cases: list[tuple[dict, str]] = [
        ({"frames": [b"no jpeg", first["frames"][1]]}, "frame 0 is no picture"),
        ({"frames": first["frames"][:1]}, "1 frames, 2 times"),
        ({"frame_seconds": [0.5, 0.1]}, "not ascending"),
        ({"split": "test"}, "its folder is 'train'"),
        ({"clip_id": second_id}, f"clip {second_id} has more than one row"),
        ({"captions": [first["captions"][0] | {"text": " "}]}, "caption 0: blank"),
        ({"captions": [first["captions"][0] | {"concept_ids": [4]}]}, "of 1 concepts"),
        ({"captions": [first["captions"][0] | {"keep_probability": 0.0}]}, "keep_probability"),
    ]
    for wrong, message in cases:
        rewrite(shards, "train-00000", **wrong)
        result = validate(shards)
        assert any(message in problem for problem in result.problems), (wrong, result.problems)
        assert any("train/train-00000" in problem for problem in result.problems)
        rewrite(shards, "train-00000", **first)
        assert validate(shards).problems == []


def test_a_video_in_two_splits_is_named(shards: str, tmp_path: Path) -> None:
    step_dir = StepDir.open(shards)
    test, train = step_dir.read_unit("test-00000"), step_dir.read_unit("train-00000")
    assert test is not None
    assert train is not None
    held_out = {int(clip_id[1:]) // 2 for clip_id in test["clip_id"].to_pylist()}
    sibling = next(
        f"c{i}"
        for i in range(40)
        if i // 2 in held_out and f"c{i}" not in test["clip_id"].to_pylist()
    )
    rewrite(shards, "train-00000", clip_id=sibling)
    assert validate(shards).problems == []
    problems = validate(shards, clips=str(tmp_path / "clips")).problems
    assert any(f"v{int(sibling[1:]) // 2}.mp4" in problem for problem in problems), problems


def test_changed_bytes_and_untrusted_held_out_texts_fail_the_command(
    shards: str, tmp_path: Path
) -> None:
    table = StepDir.open(shards).read_unit("test-00000")
    assert table is not None
    captions = table["captions"][0].as_py()
    rewrite(shards, "test-00000", captions=[captions[0] | {"trusted": False}])
    result = CliRunner().invoke(app, ["validate", shards])
    assert result.exit_code == 1
    assert "not trusted, in the test split" in result.output
    path = next((tmp_path / "shards/train").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert any("sha256" in problem for problem in validate(shards).problems)
