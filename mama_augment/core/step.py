"""What a step of the pipeline is, and the one way to run it.

A step reads one or more directories and writes one. Everything that its commands share stands in
`run`: the lock, opening or resuming, running what is left, the accounting, and how a run ends
early. Where units run (`Runtime`), where they are committed (`Output`) and who is told (`Teller`)
are handed in, so that this module needs none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest
from mama_augment.core.signals import Stop, terminable


class UnitWorker(Protocol):
    """Does one unit at a time and commits it itself.

    Bad input ends as a reject inside the unit, never as an exception out of `run_unit`; what does
    come out (a full disk, a `StoppedError`, a bug) stops the step, and the unit stays pending.
    """

    def run_unit(self, unit_id: str) -> int:
        """Work on a unit, commit it, and return its number of items."""
        ...

    def close(self) -> None:
        """Release processes, engines and files."""
        ...


MakeWorker = Callable[[], UnitWorker]
"""Builds a worker where it will run; must be picklable (a functools.partial of a class)."""

OnUnitDone = Callable[[str, int], None]
"""Called in the parent with (unit_id, num_items) after each commit."""


class Runtime(Protocol):
    """Where units run: here, in other processes, on a cluster."""

    def run_units(
        self,
        unit_ids: Sequence[str],
        make_worker: MakeWorker,
        on_done: OnUnitDone,
        stop: threading.Event,
    ) -> None:
        """Run every unit once, and begin none once `stop` is set; raises a worker's first error."""
        ...


class Directory(Protocol):
    """What `run` needs of a step's directory; `core.store.step_dir.StepDir` is one."""

    @property
    def manifest(self) -> Manifest: ...

    def units_to_do(self, *, retry_failed: bool = False) -> list[str]: ...


Dir = TypeVar("Dir", bound=Directory)


class Output(Protocol[Dir]):
    """The place that a step writes to; `core.store.output.StepOutput` is one."""

    @property
    def uri(self) -> str: ...

    @property
    def overwrite(self) -> bool:
        """Discard what is there."""
        ...

    def locked(self) -> AbstractContextManager[None]: ...

    def begun(self) -> Dir | None:
        """What an earlier run began there and this one may continue, of whatever step."""
        ...

    def to_resume(self, manifest: Manifest) -> Dir | None:
        """What `open` continues; None where it starts anew. Writes nothing."""
        ...

    def open(self, manifest: Manifest) -> Dir: ...

    def audit(self, directory: Dir) -> Ledger: ...


class Teller(Protocol):
    """Who is told what a step is doing."""

    def phase(self, text: str) -> None:
        """What is being prepared, before there is anything to count."""
        ...

    def progress(
        self, name: str, num_total: int, num_done: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Gives what to call with a number of further items that are done."""
        ...


class Silence:
    """A teller that tells nobody."""

    def phase(self, text: str) -> None:
        """Nothing is said."""

    def progress(
        self, name: str, num_total: int, num_done: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda num_items: None)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Units that are run together. Most steps have one stage; `balance` has one for as many shards
    as its scratch files can be open for."""

    unit_ids: Sequence[str]
    make_worker: MakeWorker
    counts_alone: bool = False
    """The worker counts its items while it works (`Step.stages` gave it what to call)."""


class Step(Protocol[Dir]):
    """One arrow of the pipeline: what it will do, and who does it."""

    @property
    def name(self) -> str:
        """As the command is called, and as the manifest holds it."""
        ...

    @property
    def noun(self) -> str:
        """What its ledger counts, in the plural: clips, captions, texts."""
        ...

    def manifest(self, out: Output[Dir], tell: Teller) -> Manifest:
        """What the step will do, checked against its input and what `out` holds; under the lock.

        Raises:
            InputError: the input is unfinished or holds nothing, the settings contradict
                themselves, or `out` holds something else.
        """
        ...

    def stages(
        self, directory: Dir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        """The work, in order; `advance` is for workers of this process that count alone."""
        ...

    def finish(self, directory: Dir) -> None:
        """What is written once every unit is committed."""
        ...

    def close(self) -> None:
        """Let go of scratch files, however the run ended."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did: the ledger of the whole directory, and this run's share of it."""

    ledger: Ledger
    manifest: Manifest
    num_done: int
    """Items of this run."""
    seconds: float


def run(
    step: Step[Dir],
    out: Output[Dir],
    runtime: Runtime,
    tell: Teller | None = None,
    *,
    retry_failed: bool = False,
) -> Outcome:
    """Do what is left of a step and account for all of it.

    retry_failed: units with failures are done again, for the sake of these.

    Raises:
        InputError: see `Step.manifest`; or another run writes there.
        StoppedError: a fault that is nobody's item's own.
        OSError: the disk or the object store is full, read-only or gone.
        TerminatedError: SIGTERM; what was in flight had `DRAIN_SECONDS` to be committed.
    """
    tell = tell or Silence()
    with terminable() as stop, out.locked():
        try:
            manifest = step.manifest(out, tell)
            directory = out.open(manifest)
            todo = directory.units_to_do(retry_failed=retry_failed)
            num_done, seconds = _run_stages(step, directory, todo, runtime, tell, stop)
            step.finish(directory)
            return Outcome(
                ledger=out.audit(directory), manifest=manifest, num_done=num_done, seconds=seconds
            )
        finally:
            step.close()


def _run_stages(
    step: Step[Dir],
    directory: Dir,
    todo: Sequence[str],
    runtime: Runtime,
    tell: Teller,
    stop: Stop,
) -> tuple[int, float]:
    """(items done, seconds) of the units in `todo`."""
    num_items = directory.manifest.units
    num_total = sum(num_items.values())
    num_before = num_total - sum(num_items[unit_id] for unit_id in todo)
    num_done = 0
    started = time.monotonic()
    with tell.progress(step.name, num_total, num_before) as shown:

        def advance(number: int) -> None:
            nonlocal num_done
            num_done += number
            shown(number)

        for stage in step.stages(directory, todo, advance):
            on_done = _ignore if stage.counts_alone else lambda unit_id, number: advance(number)
            with stop.draining():
                runtime.run_units(stage.unit_ids, stage.make_worker, on_done, stop.asked)
    return num_done, time.monotonic() - started


def _ignore(unit_id: str, num_items: int) -> None:
    """For workers that have counted already."""
