"""What a step of the pipeline is, and the one way to run it.

A step reads one or more directories and writes one. Everything that its commands share stands in
`run`: the lock, opening or resuming, running what is left, the accounting, and how a run ends
early. Where units run (`Runtime`), where they are committed (`Output`) and who is told (`Teller`)
are handed in, so that this module needs none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from mama_augment.core.breaker import EverybodysFaultError
from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest
from mama_augment.core.shares import Part, Share
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

    def units_to_do(
        self, *, retry_failed: bool = False, share: Share | None = None
    ) -> list[str]: ...

    def before(self, unit_id: str) -> object | None:
        """What was committed of a unit when the directory was opened."""
        ...

    def retract(self, unit_ids: Sequence[str], reason: str) -> None:
        """Make those of these units pending again whose items all left for one reason."""
        ...

    def sight(self, share: Share | None) -> AbstractContextManager[Callable[[], None]]:
        """Gives what a worker calls to prove that it sees this directory, wherever it runs."""
        ...


Dir = TypeVar("Dir", bound=Directory)


class Output(Protocol[Dir]):
    """The place that a step writes to; `core.store.output.StepOutput` is one."""

    @property
    def uri(self) -> str: ...

    @property
    def overwrite(self) -> bool:
        """Discard what is there."""
        ...

    @property
    def share(self) -> Share | None:
        """The units that this run takes; None: all."""
        ...

    def locked(self) -> AbstractContextManager[None]: ...

    def begun(self) -> Dir | None:
        """What an earlier run began there and this one may continue, of whatever step."""
        ...

    def to_resume(self, manifest: Manifest) -> Dir | None:
        """What `open` continues; None where it starts anew. Writes nothing."""
        ...

    def open(self, manifest: Manifest, files: Mapping[str, bytes] | None = None) -> Dir: ...

    def check_not_everybody(self, directory: Dir, unit_ids: Sequence[str]) -> None:
        """Refuse (`EverybodysFaultError`) that nothing is ok for one reason that is no item's."""
        ...

    def audit(self, directory: Dir, share: Share | None = None) -> Ledger:
        """Every item, or those of a share's units."""
        ...


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

    def files(self) -> Mapping[str, bytes]:
        """What the manifest names, by relative name; written before it."""
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
    """What a run did: the ledger of the whole directory, and this run's part of it."""

    ledger: Ledger
    own: Ledger
    """Of the units of its share; the same as `ledger` for a run that takes all."""
    manifest: Manifest
    num_done: int
    """Items of this run."""
    seconds: float

    @property
    def exit_code(self) -> int:
        """Of the run: what other shares have not done, or failed at, is not its fault."""
        is_well = self.own.is_well and self.ledger.holds and not self.ledger.is_barren
        return 0 if is_well else 1


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
        InputError: see `Step.manifest`; another run writes there; or a worker does not see it.
        StoppedError: a fault that is nobody's item's own.
        OSError: the disk or the object store is full, read-only or gone.
        TerminatedError: SIGTERM; what was in flight had `DRAIN_SECONDS` to be committed.
    """
    tell = tell or Silence()
    with terminable() as stop, out.locked():
        try:
            manifest = step.manifest(out, tell)
            directory = out.open(manifest, step.files())
            todo = directory.units_to_do(retry_failed=retry_failed, share=out.share)
            part = Part.of(directory.manifest.units, todo, out.share)
            fresh = [unit_id for unit_id in todo if directory.before(unit_id) is None]
            try:
                with directory.sight(out.share) as prove:
                    seeing = _Seeing(runtime, prove)
                    num_done, seconds = _run_stages(step, directory, part, seeing, tell, stop)
                out.check_not_everybody(directory, fresh)
            except EverybodysFaultError as fault:
                directory.retract(fresh, fault.reason)
                raise
            step.finish(directory)
            ledger = out.audit(directory)
            return Outcome(
                ledger=ledger,
                own=ledger if out.share is None else out.audit(directory, out.share),
                manifest=manifest,
                num_done=num_done,
                seconds=seconds,
            )
        finally:
            step.close()


def _run_stages(
    step: Step[Dir],
    directory: Dir,
    part: Part,
    runtime: Runtime,
    tell: Teller,
    stop: Stop,
) -> tuple[int, float]:
    """(items done, seconds) of the units to do."""
    num_done = 0
    started = time.monotonic()
    with tell.progress(step.name, part.num_total, part.num_before) as shown:

        def advance(number: int) -> None:
            nonlocal num_done
            num_done += number
            shown(number)

        for stage in step.stages(directory, part.todo, advance):
            on_done = _ignore if stage.counts_alone else lambda unit_id, number: advance(number)
            with stop.draining():
                runtime.run_units(stage.unit_ids, stage.make_worker, on_done, stop.asked)
    return num_done, time.monotonic() - started


@dataclass(frozen=True)
class _Seeing:
    """A runtime whose workers first prove, where they will work, that they see the directory."""

    runtime: Runtime
    prove: Callable[[], None]

    def run_units(
        self,
        unit_ids: Sequence[str],
        make_worker: MakeWorker,
        on_done: OnUnitDone,
        stop: threading.Event,
    ) -> None:
        """See `Runtime`."""
        proven = partial(_proven, self.prove, make_worker)
        self.runtime.run_units(unit_ids, proven, on_done, stop)


def _proven(prove: Callable[[], None], make_worker: MakeWorker) -> UnitWorker:
    prove()
    return make_worker()


def _ignore(unit_id: str, num_items: int) -> None:
    """For workers that have counted already."""
