"""Run units on a Ray cluster: Ray Data schedules them, the store commits them.

Only unit ids and item counts travel through Ray; what a unit makes goes from the actor to the
step directory, so nothing depends on Ray's blocks, retries or checkpoints. A unit that Ray runs
twice is committed twice with the same content.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import ray.data

from mama_augment.core.errors import InputError, StoppedError
from mama_augment.core.step import MakeWorker, OnUnitDone, UnitWorker
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.gpus import GpuShare, check_room


class _UnitActor:
    """A worker inside a Ray Data actor pool; one row in, one unit done, one row out."""

    def __init__(self, make_worker: MakeWorker) -> None:
        self._make_worker = make_worker
        self._worker: UnitWorker | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (unit_id,) = batch["unit_id"]
        num_items, error = 0, b""
        try:
            # Not in the constructor, whose errors Ray tries again and then wraps.
            self._worker = self._worker or self._make_worker()
            num_items = self._worker.run_unit(str(unit_id))
        except (OSError, StoppedError, InputError) as raised:
            # As data: inside Ray's own exceptions it loses what it was.
            error = _pickled(raised)
        return {
            "unit_id": batch["unit_id"],
            "num_items": np.array([num_items], np.int64),
            "error": np.array([error], object),
        }

    def __del__(self) -> None:
        if self._worker is not None:
            self._worker.close()


def run_units_on_ray(
    unit_ids: Sequence[str],
    make_worker: MakeWorker,
    config: RuntimeConfig,
    on_done: OnUnitDone,
    stop: threading.Event,
) -> None:
    """Run every unit once on an actor pool of `config.num_workers`.

    Ray shows each actor its own GPUs alone, and equal parts of one GPU to actors that share it.

    Raises:
        InputError: the cluster has fewer GPUs than the actors ask for; Ray would wait for ever.
        OSError, StoppedError: as a worker raised it.
    """
    started_here = not ray.is_initialized()
    if started_here:
        _start(config)
    try:
        num_gpus = _gpus_per_actor(config.gpus, config.num_workers)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = 0  # an error is a bug or a full disk: stop, lose nothing
        rows = [{"unit_id": unit_id} for unit_id in unit_ids]
        units = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _UnitActor,
            fn_constructor_args=(make_worker,),
            compute=ray.data.ActorPoolStrategy(size=min(config.num_workers, len(rows))),
            batch_size=1,
            num_cpus=1,
            num_gpus=num_gpus,
        )
        for row in units.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])
            on_done(row["unit_id"], row["num_items"])
            if stop.is_set():
                break
    finally:
        if started_here:
            ray.shutdown()


def _pickled(error: Exception) -> bytes:
    """An error that a command has a message for; its text where it cannot travel itself."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:  # its arguments are not those of its constructor
        return pickle.dumps(StoppedError(str(error)))
    return content


def _gpus_per_actor(share: GpuShare | None, num_workers: int) -> float | None:
    """What to ask Ray for; None where nothing is asked, and actors see what their machine has."""
    if share is None:
        return None
    nodes = [int(n["Resources"].get("GPU", 0)) for n in ray.nodes() if n["Alive"]]
    gpus_by_node = [number for number in nodes if number]
    if not gpus_by_node and not share.is_required:
        return None
    check_room(share, num_workers, gpus_by_node)
    return share.per_worker


def _start(config: RuntimeConfig) -> None:
    # The step's own progress and errors are what a person needs; Ray's are about its insides.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_signals():
        if config.ray_address:
            ray.init(address=config.ray_address, **options)
        else:
            # One more than the workers: the pool must never wait for Ray Data's own tasks.
            ray.init(num_cpus=config.num_workers + 1, include_dashboard=False, **options)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and would end the command without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
