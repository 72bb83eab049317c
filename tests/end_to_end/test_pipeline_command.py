"""`mama-augment pipeline`: names come back as typed, and signals reach the command at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.augment.numbered import write_numbered

REPOSITORY = Path(__file__).resolve().parents[2]
MAIN = "from mama_augment.cli import main; main()"
MODEL = ("--model", "llava-shapes")


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "pipeline", "folder", *map(str, words), *MODEL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "4000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_what_was_typed_is_shown_and_a_mistake_ends_the_pipeline(tmp_path: Path) -> None:
    child = start(tmp_path, "v [x]\x1b[31m", "--out", "o[/red] [v2]")
    out, err = child.communicate(timeout=120)
    assert child.returncode == 2, err
    assert "Traceback" not in err
    assert "'v [x]\\x1b[31m'" in err
    assert not (tmp_path / "o[/red] [v2]").exists(), "nothing was begun"
    assert "\x1b[31m" not in out + err


def test_sigterm_ends_the_step_at_work_in_order(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for number in range(40):
        write_numbered(tmp_path / f"videos/{number}.mp4", 60, size=(320, 240))
    child = start(tmp_path, "videos", "--out", "work")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("work/clips/units/*/*.json")):
        assert child.poll() is None and time.monotonic() < deadline  # noqa: PT018
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 143, out + err
    assert "stopped: ended by SIGTERM. Finished clips are kept in work/clips" in err
    assert "mama-augment caption" not in out
