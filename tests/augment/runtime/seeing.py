"""A unit worker that tells which GPUs it was shown; and ones that end badly."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from mama_augment.caption.engines.base import EngineDiedError
from mama_augment.runtime.process import ProcessWorker

VISIBLE_AT_IMPORT = os.environ.get("CUDA_VISIBLE_DEVICES")
TORCH_AT_IMPORT = "torch" in sys.modules
PATIENCE_SECONDS = 60.0


class SeeingWorker:
    """Leaves a file per unit; no unit ends before `num_workers` workers have begun one."""

    def __init__(self, folder: Path, num_workers: int) -> None:
        self.folder = folder
        self.num_workers = num_workers

    def run_unit(self, unit_id: str) -> int:
        (self.folder / f"worker-{os.getpid()}").touch()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(list(self.folder.glob("worker-*"))) < self.num_workers:
            assert time.monotonic() < deadline, "the other workers never came"
            time.sleep(0.02)
        seen = {
            "pid": os.getpid(),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "visible_at_import": VISIBLE_AT_IMPORT,
            "torch_at_import": TORCH_AT_IMPORT,
        }
        (self.folder / f"{unit_id}.json").write_text(json.dumps(seen))
        return 3

    def close(self) -> None:
        (self.folder / f"closed-{os.getpid()}").touch()


class EndingWorker:
    """Ends as the unit's name says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_unit(self, unit_id: str) -> int:
        (self.folder / "pid").write_text(str(os.getpid()))
        if unit_id == "full":
            raise OSError(28, "No space left on device")
        if unit_id == "dead":
            raise EngineDiedError("no device")
        if unit_id == "odd":
            raise OddError(1, 2)
        if unit_id == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(PATIENCE_SECONDS)
        return 0

    def close(self) -> None:
        (self.folder / "closed").touch()


class OddError(Exception):
    """Cannot be made again from what it is pickled as."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def hold(folder: Path) -> None:
    """Keep a worker at a unit that takes long."""
    ProcessWorker(partial(EndingWorker, folder), {}).run_unit("long")
