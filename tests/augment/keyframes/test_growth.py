"""An input that grows or is corrected: nothing done is done again, nothing is mixed up or lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.numbered import write_numbered

NUM_VIDEOS = 8


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        write_numbered(folder / f"{number}.mp4", 20 + number, size=(96, 64))
    return folder


def run(source: Path, out: Path, *more: str) -> Result:
    options = ["--num-frames", "3", "--clips-per-unit", "2", "--workers", "1"]
    return CliRunner().invoke(app, ["keyframes", str(source), "--out", str(out), *options, *more])


def rows_of(out: Path) -> list[dict[str, Any]]:
    step_dir = StepDir.open(str(out))
    assert audit(step_dir, deep=True).holds
    rows = pa.concat_tables(step_dir.tables()).to_pylist()
    return sorted(rows, key=lambda row: row["clip_id"])


def data_files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}


def write_manifest(path: Path, videos: Path, rows: dict[int, str], header: str = "text") -> Path:
    lines = [f"video,clip_id,{header}"]
    lines += [f"{videos}/{number}.mp4,c{number},{rest}" for number, rest in rows.items()]
    path.write_text("\n".join(lines))
    return path


def test_new_files_are_appended_and_nothing_is_done_again(videos: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "out"
    folder.mkdir()
    for number in (1, 3, 5):
        shutil.copy(videos / f"{number}.mp4", folder)
    assert run(folder, out).exit_code == 0
    before = data_files(out)
    records = StepDir.open(str(out)).records()
    for number in (0, 4, 2):  # before, between and after
        shutil.copy(videos / f"{number}.mp4", folder)
    grown = run(folder, out)
    assert grown.exit_code == 0, grown.output
    assert before.items() <= data_files(out).items()
    step_dir = StepDir.open(str(out))
    assert records.items() <= step_dir.records().items()
    assert [g["num_clips"] for g in step_dir.manifest.generations] == [3, 3]
    assert run(folder, tmp_path / "fresh").exit_code == 0
    assert rows_of(out) == rows_of(tmp_path / "fresh")
    assert "nothing to do" in run(folder, out).output


def test_a_generation_is_finished_after_a_kill_in_the_middle(videos: Path, tmp_path: Path) -> None:
    """As if killed between any two units: whatever records are gone are made again."""
    out, source = tmp_path / "out", tmp_path / "m.csv"
    for size in (2, 5, 8):
        write_manifest(source, videos, {n: f"text {n}" for n in range(size)})
        assert run(source, out).exit_code == 0
    whole = rows_of(out)
    for lost in sorted(out.rglob("units/*/*.json"))[::2]:
        lost.unlink()
    write_manifest(source, videos, {n: f"text {n}" for n in range(8)})
    assert run(source, out).exit_code == 0
    assert rows_of(out) == whole
    assert [g["num_clips"] for g in StepDir.open(str(out)).manifest.generations] == [2, 3, 3]


def test_texts_and_columns_change_without_a_video(videos: Path, tmp_path: Path) -> None:
    copies, out, source = tmp_path / "copies", tmp_path / "out", tmp_path / "m.csv"
    shutil.copytree(videos, copies)
    (copies / "6.mp4").write_bytes(b"no video")
    write_manifest(source, copies, {n: f"text {n}" for n in range(NUM_VIDEOS)})
    assert run(source, out).exit_code == 0
    pictures = {row["clip_id"]: row["frames"] for row in rows_of(out)}
    before = data_files(out)
    shutil.rmtree(copies)
    texts = {n: "corrected" if n == 3 else f"text {n}" for n in range(NUM_VIDEOS)}
    write_manifest(source, copies, texts)
    assert run(source, out).exit_code == 0
    rows = {row["clip_id"]: row for row in rows_of(out)}
    assert {i: row["frames"] for i, row in rows.items()} == pictures
    assert [row["texts"][0]["text"] for row in rows.values()] == [
        texts[n] for n in range(NUM_VIDEOS) if n != 6
    ]
    assert len(before.items() & data_files(out).items()) == len(before) - 1
    # A further column, and a split: every file gets them, and no clip is looked at.
    more = {n: f"{texts[n]},{n}.5,{'test' if n == 1 else ''}" for n in range(NUM_VIDEOS)}
    write_manifest(source, copies, more, "text,stars,split")
    assert run(source, out).exit_code == 0
    rows = {row["clip_id"]: row for row in rows_of(out)}
    assert {i: row["frames"] for i, row in rows.items()} == pictures
    assert rows["c1"]["split"] == "test"
    assert [row["stars"] for row in rows.values()] == [
        f"{n}.5" for n in range(NUM_VIDEOS) if n != 6
    ]
    ledger = audit(StepDir.open(str(out)), deep=True)
    assert (ledger.num_ok, ledger.num_rejected, ledger.problems) == (7, 1, ())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0,, 1,, 2,,", "5 clips that the input lacks by now: c3 ("),
        ("0,, 1,, 2,,0.4 3,, 4,, 5,, 6,, 7,,", r"1 clip whose video or span is another"),
    ],
)
def test_missing_clips_and_changed_spans_are_named(
    videos: Path, tmp_path: Path, rows: str, words: str
) -> None:
    out, source = tmp_path / "out", tmp_path / "m.csv"
    write_manifest(source, videos, dict.fromkeys(range(NUM_VIDEOS), ",,"), "text,end_seconds,x")
    assert run(source, out).exit_code == 0
    before = rows_of(out)
    changed = {int(row[0]): f",{row.rpartition(',')[2]}," for row in rows.split()}
    write_manifest(source, videos, changed, "text,end_seconds,x")
    result = run(source, out)
    assert isinstance(result.exception, InputError)
    message = str(result.exception)
    assert words in message
    assert "--overwrite" in message
    assert message.count("c") >= 1
    assert ("; …" in message) == (len(changed) == 3)
    if len(changed) == NUM_VIDEOS:
        assert "c2 (was " in message
        assert "is [0, 0.4) of" in message
    assert rows_of(out) == before


def test_videos_that_are_cut_may_become_more(videos: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "out"
    folder.mkdir()
    shutil.copy(videos / "4.mp4", folder)
    assert run(folder, out, "--cut-seconds", "0.4").exit_code == 0
    (folder / "4.mp4").write_bytes(b"not looked at again")
    num_before = len(rows_of(out))
    assert num_before == 2
    shutil.copy(videos / "5.mp4", folder)
    assert run(folder, out, "--cut-seconds", "0.4").exit_code == 0
    assert len(rows_of(out)) == 4


def test_a_directory_of_the_layout_before_is_refused_in_one_sentence(
    videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(videos, out).exit_code == 0
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    result = run(videos, out)
    assert isinstance(result.exception, InputError)
    assert "has schema version 1" in str(result.exception)
    assert run(videos, out, "--overwrite").exit_code == 0
