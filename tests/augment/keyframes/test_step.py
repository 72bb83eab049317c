"""The whole step: rows, accounting, resume, equal bytes however it runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from mama_augment.cli import app
from mama_augment.core.schema import CLIPS
from mama_augment.core.step import run as run_step
from mama_augment.core.store.audit import audit
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.inputs.find import find_clips
from mama_augment.keyframes.config import CutConfig, KeyFramesStep
from mama_augment.keyframes.step import KeyFrames
from mama_augment.runtime import RuntimeConfig
from tests.augment.numbered import read_number, write_numbered

REPOSITORY = Path(__file__).resolve().parents[3]
NUM_CLIPS = 10
MAIN = "from mama_augment.cli import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten short videos and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_CLIPS):
        write_numbered(folder / f"{number}.mp4", 20 + number, size=(96, 64))
    (folder / "broken.mp4").write_bytes(b"no video at all" * 100)
    return folder


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: Any) -> Result:
    options = ["--num-frames", "5", "--clips-per-unit", "2"]
    return CliRunner().invoke(app, ["keyframes", *map(str, arguments), *options])


def files_of(out: Path) -> dict[str, bytes]:
    """Everything in a step directory but its manifest."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def test_rows_are_what_the_format_says(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    step_dir = StepDir.open(str(tmp_path / "out"), step="keyframes")
    table = pa.concat_tables(step_dir.tables())
    assert table.schema.equals(CLIPS)
    assert table.num_rows == NUM_CLIPS
    for row in table.to_pylist():
        number = int(Path(row["video_uri"]).stem)
        assert row["num_frames"] == 20 + number
        assert row["num_key_frames"] == len(row["frames"]) == 5
        assert [read_number(jpeg) for jpeg in row["frames"]] == row["frame_index"]
        assert np.allclose(row["frame_seconds"], np.array(row["frame_index"]) / 25)
        assert (row["width_px"], row["height_px"], row["strategy"]) == (96, 64, "peaks")
    ledger = audit(step_dir, deep=True)
    assert ledger.holds
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (11, 10, 1)
    (reject,) = [r for rec in step_dir.records().values() for r in step_dir.read_rejects(rec)]
    assert (reject.verdict, reject.reason, reject.attempts) == ("rejected", "unreadable", 1)
    assert "broken.mp4" in reject.message


def test_workers_change_nothing(folder: Path, tmp_path: Path) -> None:
    for num_workers in (1, 2):
        out = tmp_path / str(num_workers)
        assert run(folder, "--out", out, "--workers", num_workers).exit_code == 0
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


@pytest.mark.slow
def test_ray_changes_nothing(folder: Path, tmp_path: Path) -> None:
    assert run(folder, "--out", tmp_path / "local").exit_code == 0
    assert run(folder, "--out", tmp_path / "ray", "--runtime", "ray").exit_code == 0
    assert files_of(tmp_path / "local") == files_of(tmp_path / "ray")


def test_columns_of_the_manifest_keep_their_type_in_every_file(
    folder: Path, tmp_path: Path
) -> None:
    rows = [
        {"video": f"{folder}/{n}.mp4", "text": f"text {n}", "mood": None, "stars": n or None}
        for n in range(4)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run(tmp_path / "m.jsonl", "--out", tmp_path / "out").exit_code == 0
    tables = list(StepDir.open(str(tmp_path / "out")).tables())
    assert len(tables) == 4
    assert all(table.schema.equals(tables[0].schema) for table in tables)
    table = pa.concat_tables(tables)
    assert table["stars"].to_pylist() == [None, 1, 2, 3]
    assert [texts[0]["text"] for texts in table["texts"].to_pylist()] == [
        f"text {n}" for n in range(4)
    ]


def run_and_kill(folder: Path, out: Path, num_units: int, *more: str) -> dict[str, bytes]:
    """SIGKILL the command once it has committed so many units; returns their records."""
    command = [sys.executable, "-c", MAIN, "keyframes", str(folder), "--out", str(out)]
    options = ["--num-frames", "5", "--clips-per-unit", "2", *more]
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(done := list(out.rglob("units/*/*.json"))) < num_units:
        assert time.monotonic() < deadline
        assert process.poll() is None, "finished before it could be killed"
    before = {str(path.relative_to(out)): path.read_bytes() for path in done}
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return before


def test_killed_at_any_time_the_rerun_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    assert run(folder, "--out", tmp_path / "whole").exit_code == 0
    for num_units in (1, 3):
        out = tmp_path / f"killed-{num_units}"
        before = run_and_kill(folder, out, num_units)
        assert run(folder, "--out", out).exit_code == 0
        assert files_of(out) == files_of(tmp_path / "whole")
        assert before.items() <= files_of(out).items()


@pytest.mark.slow
def test_killed_on_ray_and_resumed_there_it_gives_the_files_of_a_local_run(
    folder: Path, tmp_path: Path
) -> None:
    assert run(folder, "--out", tmp_path / "local").exit_code == 0
    out = tmp_path / "ray"
    before = run_and_kill(folder, out, 1, "--runtime", "ray", "--workers", "1")
    assert len(before) < len(StepDir.open(str(out)).manifest.units), "killed too late"
    result = run(folder, "--out", out, "--runtime", "ray")
    assert result.exit_code == 0, result.output
    assert files_of(out) == files_of(tmp_path / "local")
    assert before.items() <= files_of(out).items()


def test_retry_failed_redoes_only_what_failed_in_input_order(folder: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(folder, videos)
    rows = [f"{videos}/{n}.mp4" for n in range(NUM_CLIPS)]
    (tmp_path / "m.csv").write_text("\n".join(["video", *rows]))
    assert run(tmp_path / "m.csv", "--out", tmp_path / "whole").exit_code == 0
    (videos / "3.mp4").rename(videos / "hidden")
    out = tmp_path / "out"
    result = run(tmp_path / "m.csv", "--out", out)
    assert result.exit_code == 1
    assert "--retry-failed" in result.output
    step_dir = StepDir.open(str(out))
    record = step_dir.records().get("000001")
    assert record is not None
    (reject,) = step_dir.read_rejects(record)
    assert (reject.verdict, reject.reason, reject.attempts) == ("failed", "missing", 2)
    # Only the failed clip is looked at again: the other one of its unit may even be gone.
    (videos / "hidden").rename(videos / "3.mp4")
    (videos / "2.mp4").unlink()
    assert run(tmp_path / "m.csv", "--out", out).exit_code == 1, "a plain rerun retries nothing"
    assert run(tmp_path / "m.csv", "--out", out, "--retry-failed").exit_code == 0
    # The record of the second attempt has another name; the data has not.
    assert data_of(out) == data_of(tmp_path / "whole")


def data_of(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_of(out).items() if "units/" not in name}


def test_a_clip_over_the_time_limit_fails_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("hang.mp4", "small.mp4"):
        shutil.copy(folder / "1.mp4", videos / name)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(
        "mama_augment.keyframes.step.EXTRACT", "tests.augment.isolated_functions:extract_or_hang"
    )
    result = run(videos, "--out", tmp_path / "out", "--time-limit-seconds", "2")
    assert result.exit_code == 1, result.output
    step_dir = StepDir.open(str(tmp_path / "out"))
    ledger = audit(step_dir)
    assert (ledger.num_ok, ledger.num_failed) == (1, 1)
    rejects = [r for rec in step_dir.records().values() for r in step_dir.read_rejects(rec)]
    assert [(r.reason, r.attempts) for r in rejects] == [("timeout", 2)]


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [("--max-pixels", "5000", "too_large"), ("--least-frames", "100", "too_short")],
)
def test_limits_on_the_input_reject(
    folder: Path, tmp_path: Path, option: str, value: str, reason: str
) -> None:
    result = run(folder / "3.mp4", "--out", tmp_path / "out", option, value)
    assert result.exit_code == 1, result.output
    (record,) = StepDir.open(str(tmp_path / "out")).records().values()
    (reject,) = StepDir.open(str(tmp_path / "out")).read_rejects(record)
    assert (reject.verdict, reject.reason) == ("rejected", reason)


def test_another_config_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    from mama_augment.core.errors import InputError

    assert run(folder, "--out", tmp_path / "out").exit_code == 0
    result = run(folder, "--out", tmp_path / "out", "--strategy", "uniform")
    assert isinstance(result.exception, InputError)
    assert "strategy was 'peaks', now 'uniform'. Give another --out" in str(result.exception)
    assert run(folder, "--out", tmp_path / "out", "--workers", "1").exit_code == 0


def test_the_main_process_never_loads_a_decoder(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from mama_augment.cli import app\n"
        f"r = CliRunner().invoke(app, ['keyframes', {str(folder)!r}, '--out', {str(tmp_path)!r}])\n"
        "assert r.exit_code == 0, r.output\n"
        "assert not {'av', 'decord', 'cv2', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_clips_of_a_video_share_its_frames_and_lose_none(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_numbered(videos / "long.mp4", 130)
    write_numbered(videos / "short.mp4", 30)
    (videos / "broken.mp4").write_bytes(b"no video")
    rows = ["long.mp4,the whole,true,L", "short.mp4,a part,true,S", "broken.mp4,nothing,true,B"]
    (videos / "m.csv").write_text("\n".join(["video,text,trusted,clip_id", *rows]))
    arguments = (videos / "m.csv", "--out", tmp_path / "out", "--split-seconds", "2")
    assert run(*arguments).exit_code == 0
    table = pa.concat_tables(StepDir.open(str(tmp_path / "out")).tables()).to_pylist()
    by_id = {row["clip_id"]: row for row in table}
    # 130 frames at 25 per second are 5.2 seconds; the rest of 1.2 is more than half a clip.
    assert list(by_id) == ["L-0000", "L-0001", "L-0002", "S"]
    assert [by_id[i]["num_frames"] for i in by_id] == [50, 50, 30, 30]
    assert [by_id[i]["start_seconds"] for i in by_id] == [None, 2.0, 4.0, None]
    assert [by_id[i]["texts"][0]["trusted"] for i in by_id] == [False, False, False, True]
    before = files_of(tmp_path / "out")
    (videos / "long.mp4").unlink()
    assert run(*arguments).exit_code == 0, "the clips are known; nothing is looked at again"
    assert files_of(tmp_path / "out") == before


def test_a_step_that_cuts_can_be_run_again(tmp_path: Path) -> None:
    write_numbered(tmp_path / "long.mp4", 130)
    config = KeyFramesStep(cut=CutConfig(seconds=2.0))
    step = KeyFrames(find_clips(str(tmp_path / "long.mp4")), config)
    for _ in range(2):
        outcome = run_step(step, StepOutput(str(tmp_path / "out")), RuntimeConfig(num_workers=1))
        assert (outcome.ledger.num_ok, outcome.ledger.exit_code) == (3, 0)


def test_scenes_become_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = [40, 60, 10, 50]  # the third is shorter than a second
    shots = [np.tile(rng.integers(0, 255, 3, np.uint8), (96, 160, 1)) for _ in lengths]
    pictures = [p for p, n in zip(shots, lengths, strict=True) for _ in range(n)]
    write_numbered(tmp_path / "scenes.mp4", len(pictures), pictures=pictures)
    result = run(tmp_path / "scenes.mp4", "--out", tmp_path / "out", "--split-scenes")
    assert result.exit_code == 0, result.output
    rows = pa.concat_tables(StepDir.open(str(tmp_path / "out")).tables()).to_pylist()
    counts = [row["num_frames"] for row in rows]
    assert sum(counts) == len(pictures)
    assert counts[0] == 40
    assert counts[1:] in ([60, 60], [70, 50])
