"""Run the units of a step: in this process or on a Ray cluster, with the same bytes out."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from mama_augment.core.errors import InputError, StoppedError, check_choice
from mama_augment.core.fields import option
from mama_augment.core.step import MakeWorker, OnUnitDone
from mama_augment.runtime.gpus import GpuShare

RUNTIMES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where units run. Never part of a step's config: it cannot change what comes out."""

    num_workers: int = field(default=2, metadata=option("--workers"))
    """Units that are worked on side by side."""
    runtime: str = "local"
    """Where units run: local (this machine) or ray."""
    ray_address: str | None = None
    """The Ray cluster to join; by default that of RAY_ADDRESS, or one of yours that runs on this
    machine, else Ray is started here."""
    env: tuple[str, ...] = ()
    """ray: further environment variables of this command that its workers need. HF_*, AWS_*,
    VLLM_* and OPENAI_API_KEY are handed on anyway. May be repeated."""
    least_workers: int | None = field(default=None, metadata=option(hidden=True))
    """ray: begin with these, and add others while the cluster has room."""
    cpus_per_worker: int = field(default=1, metadata=option(hidden=True))
    """ray: processors that each worker keeps busy."""
    gpus: GpuShare | None = field(default=None, metadata=option(hidden=True))
    """ray: GPUs that each worker asks the cluster for."""
    places: tuple[tuple[str, ...], ...] = field(default=(), metadata=option(hidden=True))
    """local: the GPUs of each worker, which then runs in a process that sees no others
    (`gpus.local_places`); none: threads of this process."""

    def __post_init__(self) -> None:
        check_choice("--runtime", self.runtime, RUNTIMES)
        if self.num_workers < 1:
            raise InputError(f"--workers is {self.num_workers}; at least 1 is needed")
        if self.ray_address is not None and self.runtime != "ray":
            raise InputError(
                f"--ray-address is {self.ray_address!r}, but --runtime is {self.runtime}; add "
                "--runtime ray, or leave the address out"
            )
        if self.env and self.runtime != "ray":
            raise InputError(
                f"--env {self.env[0]} is for --runtime ray; workers here have this environment "
                "anyway. Leave it out"
            )
        assert len(self.places) in (0, self.num_workers), self

    def run_units(
        self,
        unit_ids: Sequence[str],
        make_worker: MakeWorker,
        on_done: OnUnitDone,
        stop: threading.Event,
    ) -> None:
        """See `core.step.Runtime`."""
        run_units(unit_ids, make_worker, self, on_done, stop)


class WorkerDiedError(StoppedError):
    """The process of a worker is gone; what it had committed stays."""


def run_units(
    unit_ids: Sequence[str],
    make_worker: MakeWorker,
    config: RuntimeConfig,
    on_done: OnUnitDone = lambda unit_id, num_items: None,
    stop: threading.Event | None = None,
) -> None:
    """Run every unit once, on `config.num_workers` workers; raises the first worker's error.

    stop: once it is set, no further unit begins, and those in flight are finished.
    """
    if not unit_ids:
        return
    stop = stop or threading.Event()
    if config.runtime == "ray":
        from mama_augment.runtime.cluster import find_cluster

        is_running = "ray" in sys.modules and sys.modules["ray"].is_initialized()
        address = None if is_running else find_cluster(config.ray_address)  # before its import
        from mama_augment.runtime.ray import run_units_on_ray

        run_units_on_ray(unit_ids, make_worker, config, on_done, stop, address=address)
    else:
        from mama_augment.runtime.local import run_units_locally

        run_units_locally(unit_ids, make_worker, config, on_done, stop)
