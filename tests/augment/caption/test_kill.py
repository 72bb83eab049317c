"""SIGKILL at random moments: every clip is captioned once, and no finished caption twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.tiny_models import make_llava
from tests.augment.worlds import clip, write_clips

REPOSITORY = Path(__file__).resolve().parents[3]


def noise_clips(path: Path, number: int, rows_per_unit: int) -> str:
    rng = np.random.default_rng(0)
    rows = [
        clip(f"c{i:04d}")
        | {"frames": [
            bytes(cv2.imencode(".jpg", rng.integers(0, 256, (24, 24, 3)).astype(np.uint8))[1])
            for _ in range(4)
        ]}
        for i in range(number)
    ]  # fmt: skip
    return write_clips(path, rows, rows_per_unit)


def run_and_kill(command: list[str], log: Path, num_lines: int, delay_seconds: float) -> bool:
    """Start the child, kill it once it has begun `num_lines` more captions; whether it fell."""
    before = len(log.read_text().splitlines()) if log.exists() else 0
    child = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= before + num_lines:
            time.sleep(delay_seconds)  # the moment is random: inside a caption, a commit, …
            child.kill()
            break
        time.sleep(0.001)
    return child.wait() != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "num_clips", "num_kills", "in_flight"),
    [("scripted", 240, 20, 3), ("llava", 60, 5, 1)],
)
def test_killed_runs_end_as_an_undisturbed_one(
    tmp_path: Path, model: str, num_clips: int, num_kills: int, in_flight: int
) -> None:
    clips = noise_clips(tmp_path / "clips", num_clips, rows_per_unit=9)
    name = str(make_llava(tmp_path / "llava")) if model == "llava" else model
    rng = random.Random(0)

    def command(out: str) -> list[str]:
        script = [sys.executable, "-m", "tests.augment.caption_child", clips, str(tmp_path / out)]
        return [*script, str(tmp_path / f"{out}.log"), name]

    log = tmp_path / "killed.log"
    num_fallen = 0
    for _ in range(num_kills):
        pace = rng.randint(1, num_clips // num_kills)
        num_fallen += run_and_kill(command("killed"), log, pace, rng.random() * 0.01)
        assert audit(StepDir.open(str(tmp_path / "killed"))).holds
    assert num_fallen >= num_kills * 3 // 4  # the last ones may find all work done
    subprocess.run(command("killed"), cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    subprocess.run(command("calm"), cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)

    begun = Counter(log.read_text().splitlines())
    assert len(begun) == num_clips
    assert sum(begun.values()) - num_clips <= in_flight * num_fallen
    killed, calm = StepDir.open(str(tmp_path / "killed")), StepDir.open(str(tmp_path / "calm"))
    ledger = audit(killed, deep=True)
    assert (ledger.num_in, ledger.num_pending, ledger.is_well) == (num_clips, 0, True)
    assert killed.input_fingerprint() == calm.input_fingerprint()  # the same bytes, unit by unit
