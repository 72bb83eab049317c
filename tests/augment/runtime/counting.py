"""A unit worker that leaves a file per unit, for tests of the runtimes."""

from __future__ import annotations

from pathlib import Path


class CountingWorker:
    """`run_unit` appends a line to the unit's file; units named bad… raise."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run_unit(self, unit_id: str) -> int:
        if unit_id.startswith("bad"):
            raise OSError(f"no space left for {unit_id}")
        with open(self._folder / unit_id, "a") as file:
            file.write("done\n")
        return 3

    def close(self) -> None:
        with open(self._folder / "closed", "a") as file:
            file.write("closed\n")
