"""What is wrong with one input, an option or the disk costs that alone, and is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mama_augment.caption.config import AskConfig
from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Reject
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.keyframes import cut_step
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from tests.augment.keyframes.test_step import MAIN, REPOSITORY, files_of, run
from tests.augment.numbered import write_numbered


def rejects_of(out: Path) -> list[Reject]:
    step_dir = StepDir.open(str(out))
    return [r for rec in step_dir.records().values() for r in step_dir.read_rejects(rec)]


def test_a_name_that_is_no_text_costs_its_file_only(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    path = write_numbered(videos / "good.mp4", 20, size=(96, 64))
    (videos / os.fsdecode(b"\xff.mp4")).write_bytes(path.read_bytes())
    result = run(videos, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    ledger = audit(StepDir.open(str(tmp_path / "out")), deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (2, 1, 1)
    (reject,) = rejects_of(tmp_path / "out")
    assert reject.reason == "bad_name"
    assert "\\xff.mp4" in reject.message
    assert "rename the file" in reject.message


@pytest.mark.parametrize("more", [[], ["--split-seconds", "5"]])
@pytest.mark.parametrize(
    ("uri", "verdict", "reason", "words"),
    [
        ("foo://x/y.mp4", "failed", "unknown_scheme", "foo://x/y.mp4"),
        ("a\0b.mp4", "rejected", "bad_name", "NUL"),
        ("gs3://\0.mp4", "rejected", "bad_name", "NUL"),
    ],
)
def test_a_uri_that_cannot_be_opened_costs_its_row_only(
    tmp_path: Path, uri: str, verdict: str, reason: str, words: str, more: list[str]
) -> None:
    path = write_numbered(tmp_path / "good.mp4", 20, size=(96, 64))
    (tmp_path / "m.csv").write_text(f"video\n{uri}\n{path}\n")
    result = run(tmp_path / "m.csv", "--out", tmp_path / "out", *more)
    assert result.exit_code == (1 if verdict == "failed" else 0), result.output
    ledger = audit(StepDir.open(str(tmp_path / "out")), deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_pending) == (2, 1, 0)
    (reject,) = rejects_of(tmp_path / "out")
    assert (reject.verdict, reject.reason) == (verdict, reason)
    assert words in reject.message


def test_what_could_not_be_cut_is_said_on_every_run_and_overwrite_cuts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    for name in ("first.mp4", "hang.mp4"):
        write_numbered(videos / name, 75, size=(96, 64))
    (videos / "broken.mp4").write_bytes(b"no video")
    rows = ["first.mp4", "hang.mp4", "broken.mp4", "gone.mp4"]
    (videos / "m.csv").write_text("\n".join(["video,clip_id", *(f"{r},{r}" for r in rows)]))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    log = tmp_path / "log"
    monkeypatch.setenv("MAMA_CUT_LOG", str(log))
    whole_cut = cut_step.CUT
    monkeypatch.setattr(cut_step, "CUT", "tests.augment.isolated_functions:cut_or_hang")
    arguments = (videos / "m.csv", "--out", out, "--split-seconds", "1")
    result = run(*arguments, "--time-limit-seconds", "2")
    assert result.exit_code == 1, result.output  # gone.mp4
    assert "2 of the videos could not be cut" in result.output
    assert "gone.mp4 (missing" in result.output
    assert "hang.mp4 (timeout: killed after 2 seconds)" in result.output
    assert "--overwrite" in result.output
    counts = {
        Path(line).name: log.read_text().split().count(line)
        for line in set(log.read_text().split())
    }
    assert counts == {"first.mp4": 1, "hang.mp4": 2, "broken.mp4": 1, "gone.mp4": 2}

    def clip_ids() -> list[str]:
        tables = StepDir.open(str(out)).tables(["clip_id"])
        return [clip_id for table in tables for clip_id in table["clip_id"].to_pylist()]

    parts = [f"first.mp4-000{number}" for number in range(3)]
    assert clip_ids() == [*parts, "hang.mp4"]
    again = run(*arguments)
    assert "2 of the videos could not be cut" in again.output
    monkeypatch.setattr(cut_step, "CUT", whole_cut)
    (videos / "gone.mp4").write_bytes((videos / "first.mp4").read_bytes())
    result = run(*arguments, "--overwrite")
    assert result.exit_code == 0, result.output
    assert "could not be split" not in result.output
    assert len(clip_ids()) == 9


def test_a_refused_directory_costs_no_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbered(tmp_path / "v.mp4", 75, size=(96, 64))
    done, foreign = tmp_path / "done", tmp_path / "foreign"
    assert run(path, "--out", done, "--split-seconds", "1").exit_code == 0
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    before = files_of(done)
    monkeypatch.setattr(cut_step, "CUT", "no.such.module:function")
    for arguments, words in (
        ((path, "--out", done, "--split-seconds", "2"), "cut_seconds was 1.0, now 2.0"),
        ((path, "--out", foreign, "--split-seconds", "1"), "is not a step directory"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, InputError), result.output
        assert words in str(result.exception)
    assert files_of(done) == before
    assert [p.name for p in foreign.iterdir()] == ["notes.txt"]


def test_scenes_are_found_in_the_frames_that_are_looked_at(tmp_path: Path) -> None:
    shots = [np.full((64, 96, 3), level, np.uint8) for level in (20, 200, 90)]
    pictures = [shot for shot in shots for _ in range(200)]
    options = {"x264-params": "keyint=1000:scenecut=0"}
    path = write_numbered(
        tmp_path / "v.mp4", 600, size=(96, 64), pictures=pictures, options=options
    )
    arguments = (path, "--out", tmp_path / "out", "--split-scenes", "--sample-fps", "2")
    assert run(*arguments, "--strategy", "uniform").exit_code == 0
    (table,) = [pa.concat_tables(StepDir.open(str(tmp_path / "out")).tables())]
    starts = table["start_seconds"].to_pylist()
    assert starts[0] is None
    # Within one interval of the frames looked at, and not where a look at every frame puts them.
    assert np.allclose(starts[1:], [8.0, 16.0], atol=0.5)
    assert starts[1:] != [7.98, 15.98]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample-fps", "nan"], "--sample-fps is nan; a finite number above 0"),
        (["--sample-fps", "inf"], "--sample-fps is inf; a finite number above 0"),
        (["--cut-seconds", "nan"], "--cut-seconds is nan; at least 0.1"),
        (["--split-seconds", "0.01"], "--cut-seconds is 0.01; at least 0.1"),
        (["--time-limit-seconds", "nan"], "--time-limit-seconds is nan; a finite number above 0"),
        (["--decode-threads", "-1"], "--decode-threads is -1; allowed: 1 to 256"),
        (["--decode-threads", "0"], "--decode-threads is 0; allowed: 1 to 256"),
        (["--decode-threads", "1000000"], "--decode-threads is 1000000; allowed: 1 to 256"),
        (["--short-side-px", "1000000"], "--short-side-px is 1000000; allowed: 16 to 8192"),
        (["--max-frames-scanned", "-5"], "--max-frames-scanned is -5; a finite number above 0"),
        (["--ray-address", "h:1"], "--ray-address is 'h:1', but --runtime is local; add --runtime"),
    ],
)
def test_values_that_cannot_be_right_name_option_value_and_what_is_allowed(
    tmp_path: Path, options: list[str], message: str
) -> None:
    result = run(tmp_path, "--out", tmp_path / "out", *options)
    assert isinstance(result.exception, InputError), result.output
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_row_of_key_frames_has_a_bound() -> None:
    with pytest.raises(InputError, match="--num-frames is 1000000; allowed: 1 to 1024"):
        KeyFrameConfig(num_frames=1_000_000)


def command(*arguments: Any, program: str = MAIN) -> subprocess.CompletedProcess[str]:
    options = ["--num-frames", "5", "--clips-per-unit", "1", "--workers", "1"]
    return subprocess.run(
        [sys.executable, "-c", program, "keyframes", *map(str, arguments), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"},
    )


@pytest.mark.parametrize("out", ["/proc/no/such", "s3://no-such-bucket-here/x"])
def test_an_output_that_cannot_be_opened_is_one_message(tmp_path: Path, out: str) -> None:
    path = write_numbered(tmp_path / "v.mp4", 20, size=(96, 64))
    result = command(path, "--out", out)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert f"error: {out!r} cannot be made" in result.stderr or (
        f"error: cannot open {out!r}" in result.stderr
    )


def test_videos_that_cannot_be_listed_are_one_message(tmp_path: Path) -> None:
    result = command("s3://no-such-bucket-here/x", "--out", tmp_path / "out")
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_full_disk_stops_with_one_message_and_the_same_command_continues(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (256, 256, 3), np.uint8) for _ in range(20)]
    write_numbered(videos / "a-small.mp4", 20, size=(96, 64))
    write_numbered(videos / "b-large.mp4", 20, size=(256, 256), pictures=noise)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
    result = command(videos, "--out", tmp_path / "out", program=limit + MAIN)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "stopped: [Errno 27] File too large" in result.stderr
    assert "the same command continues" in result.stderr
    ledger = audit(StepDir.open(str(tmp_path / "out")), deep=True)
    assert (ledger.num_ok, ledger.num_pending) == (1, 1)
    assert command(videos, "--out", tmp_path / "out").returncode == 0
    assert command(videos, "--out", tmp_path / "whole").returncode == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("picture_px", [0, 1_000_000])
def test_a_grid_has_a_size_that_fits_into_memory(picture_px: int) -> None:
    with pytest.raises(InputError, match=rf"--picture-px is {picture_px}; allowed: 1 to 4096"):
        AskConfig(picture_px=picture_px)
