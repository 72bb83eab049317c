"""A step that counts: each unit is a file of numbers; a unit may wait for a file to appear.

python -m tests.augment.core.toy_step OUT NUM_UNITS RUNTIME [WAITING_UNIT FOLDER]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from mama_augment.core.errors import StoppedError
from mama_augment.core.manifest import Manifest
from mama_augment.core.shared import say
from mama_augment.core.shared.options import run_command
from mama_augment.core.step import Output, Stage, Teller, run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig

ITEMS = 3


class ToyWorker:
    """Commits `ITEMS` rows a unit."""

    def __init__(self, out: StepDir, wait: tuple[str, Path] | None, fault: str | None) -> None:
        self.out = out
        self.wait = wait
        self.fault = fault

    def run_unit(self, unit_id: str) -> int:
        if unit_id == self.fault:
            raise StoppedError("every request is refused: unknown parameter 'n'")
        if self.wait is not None and unit_id == self.wait[0]:
            (self.wait[1] / "waiting").touch()
            while not (self.wait[1] / "go").exists():
                time.sleep(0.01)
        self.out.commit(unit_id, pa.table({"number": list(range(ITEMS))}))
        return ITEMS

    def close(self) -> None:
        """Nothing is held."""


class Toy:
    """A step with `num_units` units; counts how often it was finished and closed."""

    name = "toy"
    noun = "numbers"

    def __init__(
        self,
        num_units: int,
        wait: tuple[str, Path] | None = None,
        fault: str | None = None,
    ) -> None:
        self.num_units = num_units
        self.wait = wait
        self.fault = fault
        self.ends: list[str] = []

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        tell.phase("counting")
        units = {f"{n:06d}": ITEMS for n in range(self.num_units)}
        return Manifest(
            step=self.name, config={}, input_fingerprint="none", units=units, versions={}
        )

    def files(self) -> Mapping[str, bytes]:
        return {}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        worker = partial(ToyWorker, directory, self.wait, self.fault)
        for unit_ids in (todo[:2], todo[2:]):  # two stages
            yield Stage(unit_ids=unit_ids, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        self.ends.append("finished")

    def close(self) -> None:
        self.ends.append("closed")


def main(out: str, num_units: str, runtime: str, waiting: str = "", folder: str = "") -> int:
    step = Toy(int(num_units), wait=(waiting, Path(folder)) if waiting else None)
    with say.keeping(step.noun, out):
        outcome = run(step, StepOutput(out), RuntimeConfig(runtime=runtime, num_workers=1))
    return outcome.ledger.exit_code


if __name__ == "__main__":
    import typer

    try:
        run_command(partial(main, *sys.argv[1:]))
    except typer.Exit as end:
        sys.exit(end.exit_code)
