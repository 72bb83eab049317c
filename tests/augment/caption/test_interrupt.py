"""Ctrl-C: the command ends with 130 and no crash, keeps what is finished, and goes on later."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mama_augment.caption.journal import open_journal
from mama_augment.caption.known import finished_captions
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.caption.test_kill import REPOSITORY, noise_clips

NUM_CLIPS = 40


def num_journalled(out: Path) -> int:
    """Finished captions of unfinished units; every line is whole."""
    lines = [line for p in out.glob("journal/*.jsonl") for line in p.read_text().split("\n")]
    return len([json.loads(line)["key"] for line in lines if line])


def interrupt(command: list[str], out: Path) -> tuple[int, str]:
    """Start the command, interrupt it inside a batch; (exit code, what it said on stderr)."""
    before = num_journalled(out)
    child = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    while child.poll() is None:
        try:
            if num_journalled(out) > before:
                break
        except (FileNotFoundError, ValueError):
            pass  # committed, or written, just now
        time.sleep(0.005)
    time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    return child.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "num_times"), [("1", 3), ("2", 1)])
def test_ctrl_c_ends_the_command_in_order_and_loses_nothing(
    tmp_path: Path, replicas: str, num_times: int
) -> None:
    clips, out = noise_clips(tmp_path / "clips", NUM_CLIPS, rows_per_unit=20), tmp_path / "out"
    command = [sys.executable, "-c", "from mama_augment.cli import main; main()", "caption", clips]
    command += ["--out", str(out), "--model", "llava-shapes", "--engine", "transformers"]
    command += ["--batch-size", "2", "--replicas", replicas]
    num_kept = 0
    for _ in range(num_times):
        code, said = interrupt(command, out)
        assert (code, "terminate" in said, "Traceback" in said) == (130, False, False), said
        assert num_journalled(out) > num_kept
        num_kept = num_journalled(out)
    kept: dict[str, Any] = {}
    for unit_id in StepDir.open(str(out)).manifest.units:
        opened = StepDir.open(str(out)).for_workers([unit_id])
        kept |= finished_captions(opened, unit_id, open_journal(opened.folder))
    subprocess.run(command, cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    opened = StepDir.open(str(out))
    ledger = audit(opened, deep=True)
    assert (ledger.num_in, ledger.num_pending, ledger.exit_code) == (NUM_CLIPS, 0, 0)
    made: dict[str, Any] = {}
    for table in opened.tables(["caption_key", "raw_text"]):
        made |= {row["caption_key"]: row["raw_text"] for row in table.to_pylist()}
    assert {key: made[key] for key in kept} == {key: c.text for key, c in kept.items()}
