"""`validate` finds what is wrong with shards and names the row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.schema import SHARDS
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import clip, write_clips


def rows_of(step_dir: StepDir, unit_id: str) -> pa.Table:
    table = step_dir.read_data(step_dir.records()[unit_id])
    assert table is not None
    return table


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
    run_balance(clips, [], str(tmp_path / "shards"), step, RuntimeConfig())
    return str(tmp_path / "shards")


def rewrite(shards: str, unit_id: str, **columns: object) -> None:
    """Commit a unit again with other values in its first row, as a foreign writer might."""
    step_dir = StepDir.open(shards)
    table = rows_of(step_dir, unit_id)
    record = step_dir.records()[unit_id]
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
    table = rows_of(StepDir.open(shards), "train-00000")
    first = table.slice(0, 1).to_pylist()[0]
    second_id = table["clip_id"][1].as_py()
    cases: list[tuple[dict, str]] = [
        ({"frames": [b"no jpeg", first["frames"][1]]}, "frame 0 is no picture"),
        ({"frames": first["frames"][:1]}, "1 frames, 2 times"),
        ({"frame_seconds": [0.5, 0.1]}, "not ascending"),
        ({"split": "test"}, "row 0: its split is 'test', its folder is 'train'"),
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
    test = rows_of(step_dir, "test-00000")
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
    table = rows_of(StepDir.open(shards), "test-00000")
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


def damaged(shards: str, name: str, content: bytes | None) -> str:
    """What the command says once a file holds something else (None: is gone); undone after."""
    path = Path(shards) / name
    sound = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    result = CliRunner().invoke(app, ["validate", shards])
    path.write_bytes(sound)
    assert isinstance(result.exception, SystemExit), (name, result.exception)
    assert result.exit_code == 1, (name, result.output)
    return result.output


def test_every_damaged_or_missing_file_is_named(shards: str) -> None:
    records = StepDir.open(shards).records()
    data, left = records["train-00000"], records["dropped-00000"].rejects
    assert left is not None
    for unit, name in (("train-00000", data.data_file), ("dropped-00000", left.name)):
        assert name is not None
        size = (Path(shards) / name).stat().st_size
        assert f"unit {unit} is pending: {name} is missing" in damaged(shards, name, None)
        assert f"unit {unit} is pending: {name} has 9 bytes" in damaged(shards, name, b"cut short")
        assert f"{name}: not readable as Parquet" in damaged(shards, name, b"x" * size)
    for name, content, said in (
        (data.name, b"{", "not readable as a commit record"),
        (data.name, b"[1]", "not readable as a commit record"),
        ("concepts.json", None, "is missing"),
        ("concepts.json", b"[", "no JSON"),
        ("concepts.json", b"{}", "holds no list"),
        ("stats.json", None, "is missing"),
        ("manifest.json", b"{", "is damaged"),
    ):
        output = damaged(shards, name, content)
        assert name in output
        assert said in output
    said = damaged(shards, data.name, None)
    assert "unit train-00000 is pending: it has no commit record" in said
    assert validate(shards).problems == []


def test_a_negative_number_of_rows_to_decode_is_refused(shards: str) -> None:
    with pytest.raises(InputError, match="--num-decoded is -1; allowed: 0"):
        validate(shards, num_decoded=-1)
    assert validate(shards, num_decoded=0).num_decoded_frames == 0


def test_clips_that_are_not_those_of_the_shards_are_named(shards: str, tmp_path: Path) -> None:
    table = rows_of(StepDir.open(shards), "train-00000")
    lost = table["clip_id"][1].as_py()
    rows = [clip(f"c{i}", "a ball") for i in range(40) if f"c{i}" != lost]
    some = write_clips(tmp_path / "some", rows)
    (problem,) = validate(shards, clips=some).problems
    assert problem.startswith("train/train-00000")
    assert f"row 1: clip {lost} is not in {some}" in problem
    next((tmp_path / "some").glob("*.parquet")).unlink()
    problems = validate(shards, clips=some).problems
    assert any(some in p and "is pending" in p for p in problems), problems


def test_a_rerun_restores_what_a_lost_concept_list_said(shards: str, tmp_path: Path) -> None:
    path = tmp_path / "shards/concepts.json"
    sound = path.read_bytes()
    path.unlink()
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "phrases.txt")),
        balance=BalanceConfig(cap=float("inf")),
        sizes=SplitSizes(meta=3, val=0, test=3),
    )
    run_balance(str(tmp_path / "clips"), [], shards, step, RuntimeConfig())
    assert path.read_bytes() == sound
