"""One writer per directory: refused while the other run lives, never blocked by a dead one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.lock import LOCK_NAME, locked
from mama_augment.core.store.step_dir import StepDir
from tests.augment.numbered import write_numbered
from tests.augment.worlds import clip, write_clips

REPOSITORY = Path(__file__).resolve().parents[4]
MAIN = "from mama_augment.cli import main; main()"
HANGING = (
    "import mama_augment.keyframes.step as step\n"
    "step.EXTRACT = 'tests.augment.isolated_functions:extract_or_hang'\n"
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short videos; a run with `HANGING` never gets past the second."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("first.mp4", "hang.mp4", "third.mp4"):
        write_numbered(folder / name, 20, size=(96, 64))
    return folder


def keyframes(program: str, videos: Path, out: Path) -> list[str]:
    options = ["--num-frames", "3", "--clips-per-unit", "1", "--workers", "1"]
    return [sys.executable, "-c", program, "keyframes", str(videos), "--out", str(out), *options]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
        int(p)
        for task in Path(f"/proc/{pid}/task").iterdir()
        if task.name != str(pid)
        for p in (task / "children").read_text().split()
    ]


@pytest.fixture
def stuck(videos: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A keyframes run into `tmp_path/out` whose decoder hangs in its second clip."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        keyframes(HANGING + MAIN, videos, out),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: len(list(out.glob("units/*/*.json"))) == 1 and children(process.pid))
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_run_is_refused_and_reading_is_not(
    stuck: subprocess.Popen[bytes], videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    second = subprocess.run(keyframes(MAIN, videos, out), capture_output=True, text=True)
    assert second.returncode == 2
    for part in (str(out), f"process {stuck.pid}", socket.gethostname(), "Wait until it ends"):
        assert part in second.stderr
    assert stuck.poll() is None
    assert len(list(out.glob("units/*/*.json"))) == 1
    ledger = audit(StepDir.open(str(out)), deep=True)
    assert (ledger.num_ok, ledger.num_pending, ledger.problems) == (1, 2, ())
    status = CliRunner().invoke(app, ["status", str(out)])
    assert status.exit_code == 1, status.output
    assert "accounting" not in status.output


def test_a_killed_run_blocks_nobody_even_while_its_decoder_lives(
    stuck: subprocess.Popen[bytes], videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (decoder,) = children(stuck.pid)
    os.kill(decoder, signal.SIGSTOP)  # so that it cannot notice that it is an orphan
    try:
        stuck.kill()
        stuck.wait()
        assert json.loads((out / LOCK_NAME).read_text())["pid"] == stuck.pid
        resumed = subprocess.run(keyframes(MAIN, videos, out), capture_output=True, text=True)
        assert Path(f"/proc/{decoder}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    finally:
        os.kill(decoder, signal.SIGKILL)
    assert resumed.returncode == 0, resumed.stderr
    whole = tmp_path / "whole"
    assert subprocess.run(keyframes(MAIN, videos, whole), capture_output=True).returncode == 0
    assert files_of(out) == files_of(whole)


def files_of(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_a_fork_does_not_keep_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from mama_augment.core.store.lock import locked\n"
        "with locked(sys.argv[1]):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        print(child, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(InputError, match=f"process {parent.pid} "), locked(tmp_path):
            pass
        parent.kill()
        parent.wait()
        with locked(tmp_path):
            assert "sleep" in Path(f"/proc/{child}/status").read_text()
    finally:
        parent.kill()
        os.kill(child, signal.SIGKILL)


def test_caption_and_balance_take_the_lock_and_plan_does_not(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", [clip("a", "a red ball"), clip("b", "a green ball")])
    out = str(tmp_path / "out")
    runs = {
        "caption": ["caption", clips, "--out", out, "--model", "llava-shapes"],
        "balance": ["balance", clips, "--out", out, "--overwrite"],
    }
    for name, arguments in runs.items():
        with locked(out):
            result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, InputError), name
        assert f"process {os.getpid()} on host" in str(result.exception)
    plan = ["plan", clips, "--budget", "2", "--out", f"{out}/plan.parquet"]
    with locked(clips), locked(out):
        assert CliRunner().invoke(app, plan).exit_code == 0


def test_nothing_is_left_of_a_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "a/b"):
        assert (tmp_path / "a/b" / LOCK_NAME).exists()
    assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a/b"):
        (tmp_path / "a/file").write_text("stays")
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "file"]


def test_a_lock_file_left_by_a_crash_is_no_content(tmp_path: Path) -> None:
    """As after a kill before the manifest was there, or while it was being written."""
    out = tmp_path / "out"
    out.mkdir()
    (out / LOCK_NAME).write_text('{"pid": 1, "host": "gone", "since": "long ago"}')
    (out / ".manifest.json.0123.tmp").write_text('{"step')
    clips = write_clips(tmp_path / "clips", [clip("a", "a red ball")])
    result = CliRunner().invoke(app, ["balance", clips, "--out", str(out), "--cap", "none"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert not (out / LOCK_NAME).exists()


def test_runs_take_turns_where_one_deletes_the_file_of_the_other(tmp_path: Path) -> None:
    """Many processes, each adding 1 to a number: none reads before the one before has written.

    Those that wait leave the processor: two that spin can keep the third from it for a minute.
    """
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mama_augment.core.store import lock\n"
        "lock.WAIT_SECONDS, lock.POLL_SECONDS = 60, 0.001\n"
        "number = Path(sys.argv[1], 'number')\n"
        "for _ in range(200):\n"
        "    with lock.locked(sys.argv[1]):\n"
        "        number.write_text(str(int(number.read_text()) + 1))\n"
    )
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [p.wait(timeout=120) for p in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "600"


@pytest.mark.parametrize(
    ("call", "code"), [("open", errno.EROFS), ("open", errno.EACCES), ("flock", errno.ENOLCK)]
)
def test_where_nothing_can_be_locked_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os if call == "open" else fcntl, call, refuse)
    with locked(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(InputError, match="is a file"), locked(tmp_path / place):
            pass
