"""Several clips directories are read as one, in any order, by every command that takes clips."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mama_augment.balance import gather
from mama_augment.balance.config import BalanceStep
from mama_augment.balance.source import clips as reading
from mama_augment.balance.source.inputs import Inputs
from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.core.store.several import StepDirs
from mama_augment.people.report.build import build_report
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips


def rows(start: int, end: int) -> list[dict[str, Any]]:
    texts = [(f"a red ball {i}", "human", i % 2 == 0) for i in range(start, end)]
    return [clip(f"c{i:02d}", text) for i, text in zip(range(start, end), texts, strict=True)]


def two(path: Path) -> list[str]:
    return [write_clips(path / "a", rows(0, 40)), write_clips(path / "b", rows(40, 70), 4)]


def captions_of(path: Path, clips: list[str], name: str = "captions") -> str:
    """As `caption` makes them of these directories."""
    made = write_captions(path / name, [caption(f"c{i:02d}", 0, f"ball {i}") for i in range(70)])
    file = path / name / "manifest.json"
    content = json.loads(file.read_text())
    content["input_fingerprint"] = StepDirs.open(clips, step="keyframes").input_fingerprint()
    file.write_text(json.dumps(content))
    return made


def data_of(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.rglob("*.parquet")}


def test_several_directories_make_the_shards_of_one(tmp_path: Path) -> None:
    clips, whole = two(tmp_path), write_clips(tmp_path / "whole", rows(0, 70))
    captions = captions_of(tmp_path, clips)
    runtime, step = RuntimeConfig(num_workers=1), BalanceStep()
    run_balance(whole, [captions], str(tmp_path / "one"), step, runtime)
    run_balance(clips, [captions], str(tmp_path / "two"), step, runtime)
    assert data_of(tmp_path / "one") == data_of(tmp_path / "two") != {}
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("*")}
    run_balance(clips[::-1], [captions], str(tmp_path / "two"), step, runtime)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "two").rglob("*")} == before


def test_the_commands_take_directories_in_any_order(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    captions = captions_of(tmp_path, [b, a])
    shards, page = str(tmp_path / "shards"), str(tmp_path / "r.html")
    plan = str(tmp_path / "p.parquet")
    sizes = ["--meta-size", "4", "--val-size", "0", "--test-size", "4"]
    for command in (
        ["balance", b, captions, a, "--out", shards, *sizes],
        ["plan", captions, a, b, "--budget", "9", "--out", plan],
        ["validate", shards, "--clips", a, "--clips", b],
        ["report", shards, b, a, captions, "--out", page],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, (command, result.output, result.exception)
    assert pq.read_table(plan).num_rows == 70
    assert "From 70 videos to" in Path(page).read_text()
    problems = validate(shards, clips=[a]).problems
    assert problems
    assert all(f"is not in {a}" in problem for problem in problems)


def test_each_manifest_is_read_once(tmp_path: Path) -> None:
    clips = two(tmp_path)
    directories = [*clips, captions_of(tmp_path, clips)]
    read: list[str] = []
    whole = Folder.read_bytes

    def read_bytes(folder: Folder, name: str) -> bytes:
        read.append(f"{folder.uri}/{name}")
        return whole(folder, name)

    with patch.object(Folder, "read_bytes", read_bytes):
        command = ["balance", *directories, "--out", str(tmp_path / "out")]
        assert CliRunner().invoke(app, command).exit_code == 0
    manifests = [name for name in read if not name.startswith(str(tmp_path / "out"))]
    assert sorted(manifests) == sorted(f"{uri}/manifest.json" for uri in directories)


def test_what_does_not_belong_is_refused(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    captions = captions_of(tmp_path, [a, b])
    shards = str(tmp_path / "shards")
    run_balance([a, b], [captions], shards, BalanceStep(), RuntimeConfig())
    for directories, said in (
        ([captions], f"output of `mama-augment keyframes` ({captions})"),
        ([a, b, a], "given twice"),
        ([a, shards], f"{shards!r} holds the output of `mama-augment balance`"),
    ):
        with pytest.raises(InputError) as caught:
            Inputs.sort(directories)
        assert said in str(caught.value)
    more = write_captions(tmp_path / "more", [caption("c01", 0, "a ball")])
    with pytest.raises(InputError, match=f"'{more}' captions other clips than '{a}, {b}'"):
        build_report(str(tmp_path / "r.html"), [a, b], [captions, more], shards)


def test_captions_of_one_of_the_directories_belong(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    captions = [captions_of(tmp_path, [a], "first"), captions_of(tmp_path, [b], "second")]
    shards = str(tmp_path / "shards")
    run_balance([a, b], captions, shards, BalanceStep(), RuntimeConfig())
    page = str(tmp_path / "r.html")
    build_report(page, [b, a], captions[::-1], shards)
    with pytest.raises(InputError, match="was not made from") as caught:
        build_report(page, [b, a], captions[:1], shards)
    assert "other clips" not in str(caught.value)


def test_a_clip_in_two_directories_is_named_with_both(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    again = write_clips(tmp_path / "again", rows(69, 75))
    with patch.object(gather, "TEXTS_PER_BUCKET", 3), pytest.raises(InputError) as caught:
        run_balance([a, b, again], [], str(tmp_path / "out"), BalanceStep(), RuntimeConfig())
    assert f"clip c69 is in {b!r} and in {again!r}" in str(caught.value)


def test_a_column_of_one_type_here_and_another_there_is_refused(tmp_path: Path) -> None:
    kinds: dict[str, tuple[pa.DataType, list[Any]]] = {
        "a": (pa.string(), ["x", "y"]),
        "b": (pa.int64(), [1, 2]),
        "c": (pa.null(), [None, None]),
    }
    made = []
    for name, (type_, values) in kinds.items():
        table = [clip(f"{name}{i}", "a ball", label=value) for i, value in enumerate(values)]
        field = pa.field("label", type_)
        made.append(write_clips(tmp_path / name, table, extra=[field]))
    step = BalanceStep(concepts=ConceptConfig(assigner="given", column="label"))
    with pytest.raises(InputError, match=f"string in '{made[0]}'; int64 in '{made[1]}'"):
        run_balance(made, [], str(tmp_path / "out"), step, RuntimeConfig())
    run_balance([made[2], made[0]], [], str(tmp_path / "out"), step, RuntimeConfig())
    names = [c["name"] for c in json.loads((tmp_path / "out/concepts.json").read_text())]
    assert names == ["x", "y"]


def test_units_too_large_to_be_read_ahead_are_read_by_row_groups(tmp_path: Path) -> None:
    clips = two(tmp_path)
    runtime = RuntimeConfig(num_workers=1)
    run_balance(clips, [], str(tmp_path / "ahead"), BalanceStep(), runtime)
    with patch.object(reading, "AHEAD_BYTES", 1):
        run_balance(clips, [], str(tmp_path / "groups"), BalanceStep(), runtime)
    assert data_of(tmp_path / "ahead") == data_of(tmp_path / "groups")


def test_no_room_for_the_frames_is_said_before_they_are_read(tmp_path: Path) -> None:
    clips = two(tmp_path)
    with (
        patch("shutil.disk_usage", return_value=SimpleNamespace(free=10)),
        pytest.raises(OSError, match=r"No space left on device: .* 0\.0 GB are free"),
    ):
        run_balance(clips, [], str(tmp_path / "out"), BalanceStep(), RuntimeConfig())
    assert not list((tmp_path / "out").rglob("*.arrow"))
