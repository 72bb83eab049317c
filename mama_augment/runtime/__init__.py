"""Run the units of a step: in this process or on a Ray cluster, with the same bytes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mama_augment.core.errors import InputError
from mama_augment.runtime.gpus import GpuShare

RUNTIMES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where units run. Never part of a step's config: it cannot change what comes out."""

    runtime: str = "local"
    """`local` (threads of this process that own worker processes) or `ray`."""
    num_workers: int = 2
    """How many units are worked on at once."""
    ray_address: str | None = None
    """Address of a running Ray cluster; without one, a local Ray is started."""
    gpus: GpuShare | None = None
    """ray: GPUs that each worker asks the cluster for."""
    places: tuple[tuple[str, ...], ...] = ()
    """local: the GPUs of each worker, which then runs in a process that sees no others
    (`gpus.local_places`); none: threads of this process."""

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise InputError(f"--runtime is {self.runtime!r}; allowed: {', '.join(RUNTIMES)}")
        if self.num_workers < 1:
            raise InputError(f"--workers is {self.num_workers}; at least 1 is needed")
        if self.ray_address is not None and self.runtime != "ray":
            raise InputError(
                f"--ray-address is {self.ray_address!r}, but --runtime is {self.runtime}; add "
                "--runtime ray, or leave the address out"
            )
        assert len(self.places) in (0, self.num_workers), self

    @property
    def is_in_process(self) -> bool:
        """Whether workers share this process's memory."""
        return self.runtime == "local" and not self.places


class WorkerDiedError(RuntimeError):
    """The process of a worker is gone; what it had committed stays."""


class UnitWorker(Protocol):
    """Does one unit at a time and commits it itself.

    Bad input ends as a reject inside the unit, never as an exception out of `run_unit`; what does
    come out (a full disk, a bug) stops the step, and the unit stays pending.
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


def run_units(
    unit_ids: Sequence[str],
    make_worker: MakeWorker,
    config: RuntimeConfig,
    on_done: OnUnitDone = lambda unit_id, num_items: None,
) -> None:
    """Run every unit once, on `config.num_workers` workers; raises the first worker's error."""
    if not unit_ids:
        return
    if config.runtime == "ray":
        from mama_augment.runtime.ray import run_units_on_ray

        run_units_on_ray(unit_ids, make_worker, config, on_done)
    else:
        from mama_augment.runtime.local import run_units_locally

        run_units_locally(unit_ids, make_worker, config, on_done)
