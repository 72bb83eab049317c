"""Unit workers that are killed, or slow, and tell what they count; for processes of their own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mama_augment.runtime.tally import Tally

ITEMS = 10
PATIENCE_SECONDS = 120.0


class DyingWorker:
    """Ten items a unit. Its process is killed in the middle of units named deadly…, the first
    `num_deaths` times."""

    def __init__(self, folder: Path, tally: Tally | None = None, num_deaths: int = 1) -> None:
        self.folder = folder
        self.tally = tally
        self.num_deaths = num_deaths

    def run_unit(self, unit_id: str) -> int:
        with (self.folder / f"{unit_id}.begun").open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        for item in range(1, ITEMS + 1):
            if self.tally is not None:
                self.tally(unit_id, item)
            begun = (self.folder / f"{unit_id}.begun").read_text().splitlines()
            if unit_id.startswith("deadly") and item == 5 and len(begun) <= self.num_deaths:
                if self.tally is not None:
                    self.tally.flush()  # told, and then not done
                os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / f"{unit_id}.done").open("a") as stream:
            stream.write("done\n")
        if self.tally is not None:
            self.tally.flush()
        return ITEMS

    def close(self) -> None:
        """Nothing is held."""


class SlowWorker:
    """One worker of all takes `slow` seconds a unit, the others `fast`; notes when it was busy."""

    def __init__(self, folder: Path, slow: float, fast: float, num_workers: int = 1) -> None:
        """num_workers: no unit begins before these are there."""
        self.folder = folder
        self.num_workers = num_workers
        (folder / f"worker-{os.getpid()}").touch()
        try:
            (folder / "slow").touch(exist_ok=False)
            self.seconds = slow
        except FileExistsError:
            self.seconds = fast

    def run_unit(self, unit_id: str) -> int:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(list(self.folder.glob("worker-*"))) < self.num_workers:
            assert time.monotonic() < deadline, "the other workers never came"
            time.sleep(0.02)
        began = time.time()
        time.sleep(self.seconds)
        (self.folder / f"{unit_id}.times").write_text(f"{began} {time.time()} {self.seconds}")
        return 1

    def close(self) -> None:
        """Nothing is held."""


class EnvironmentWorker:
    """Writes down what it finds in its environment."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        found = [f"{name}={os.environ.get(name)}" for name in names]
        (folder / "environment").write_text("\n".join(found))
        command = Path("/proc/self/cmdline").read_bytes() + Path("/proc/self/environ").read_bytes()
        (folder / "seen").write_bytes(command)

    def run_unit(self, unit_id: str) -> int:
        return 1

    def close(self) -> None:
        """Nothing is held."""
