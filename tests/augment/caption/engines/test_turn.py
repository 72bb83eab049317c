"""Processes that share a GPU start their engines one after the other, others at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = """
import os, sys, time
from pathlib import Path
from mama_augment.caption.engines.turn import start_turn

folder, name = Path(sys.argv[1]), sys.argv[2]
(folder / f"{name}.ready").touch()
with start_turn():
    (folder / f"{name}.in").touch()
    deadline = time.monotonic() + 60
    while not (folder / f"{name}.go").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
(folder / f"{name}.out").touch()
"""


def start(folder: Path, name: str, devices: str | None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    if devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = devices
    return subprocess.Popen([sys.executable, "-c", CODE, str(folder), name], env=environment)


def wait_for(path: Path, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("other", ["1", None])
def test_engines_on_other_gpus_do_not_wait(tmp_path: Path, other: str | None) -> None:
    processes = [start(tmp_path, "a", "0"), start(tmp_path, "b", other)]
    assert wait_for(tmp_path / "a.in")
    assert wait_for(tmp_path / "b.in")
    finish(tmp_path, processes)


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_engine_on_the_same_gpu_waits_for_the_first(tmp_path: Path, is_killed: bool) -> None:
    first = start(tmp_path, "a", "0")
    assert wait_for(tmp_path / "a.in")
    second = start(tmp_path, "b", "0")
    assert wait_for(tmp_path / "b.ready")
    assert not wait_for(tmp_path / "b.in", seconds=0.5)
    if is_killed:
        first.send_signal(signal.SIGKILL)
    else:
        (tmp_path / "a.go").touch()
    assert wait_for(tmp_path / "b.in")
    finish(tmp_path, [first, second])


def finish(folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.go").touch()
    for process in processes:
        process.wait(30)
