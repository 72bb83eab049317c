"""A comparison that is told to end ends, at the next step of the run at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.shards_helper import write_shards

MAIN = "from mama_train.cli import main; main()"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_other_run_begins_when_a_signal_ends_the_one_at_work(
    tmp_path: Path, number: signal.Signals
) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 12, "meta": 6, "test": 6})
    file = tmp_path / "arms.toml"
    common = 'steps = 100000\nbatch_size = 4\nnum_frames = 2\nweights = "none"'
    arms = "\n".join(f"[arms.a{i}]\nlr = {i + 1}e-4" for i in range(4))
    file.write_text(f'shards = "{shards}"\nseeds = [0]\n[common]\n{common}\n{arms}\n')
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", MAIN, "compare", str(file), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "a0-seed0/history.jsonl").is_file():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if number == signal.SIGINT:  # a terminal sends it to all
        os.killpg(child.pid, number)
    else:  # a scheduler to the command alone
        child.send_signal(number)
    told, error = child.communicate(timeout=120)
    assert child.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number], told + error
    assert "Traceback" not in error
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["a0-seed0"]
    assert (out / "a0-seed0/checkpoints").is_dir()
