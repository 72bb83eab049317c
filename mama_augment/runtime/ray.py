"""Run units on a Ray cluster: Ray Data schedules them, the store commits them.

Only unit ids and item counts travel through Ray; what a unit makes goes from the actor to the
step directory, so nothing depends on Ray's blocks, retries or checkpoints. A unit that Ray runs
twice is committed twice with the same content.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import signal
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import ray
import ray.data

from mama_augment.core.errors import InputError, StoppedError
from mama_augment.core.shared import say
from mama_augment.core.step import MakeWorker, OnUnitDone, UnitWorker
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.cluster import travelling
from mama_augment.runtime.gpus import GpuShare, check_room
from mama_augment.runtime.tally import connect, deliver

TELL_SECONDS = 0.5
WORKER_LOGS = "ray/session_latest/logs/worker-*.err"


class _UnitActor:
    """A worker inside a Ray Data actor pool; one row in, one unit done, one row out."""

    def __init__(self, environment: dict[str, str], make_worker: bytes, counts: Any) -> None:
        """environment: of the command; as an argument, because Ray shows a `runtime_env` in logs
        and to `ps`. make_worker: pickled, so that nothing is imported before that is set."""
        os.environ.update(environment)
        connect(functools.partial(_send, counts))
        self._make_worker = make_worker
        self._worker: UnitWorker | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (unit_id,) = batch["unit_id"]
        num_items, error = 0, b""
        try:
            # Not in the constructor, whose errors Ray tries again and then wraps.
            self._worker = self._worker or pickle.loads(self._make_worker)()
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


class _Counts:
    """An actor between the workers' tallies and the command's."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, int]] = {}

    def add(self, name: str, counts: dict[str, int]) -> None:
        self._waiting.setdefault(name, {}).update(counts)

    def take(self) -> dict[str, dict[str, int]]:
        taken, self._waiting = self._waiting, {}
        return taken


def _send(counts: Any, name: str, done: dict[str, int]) -> None:
    with suppress(ray.exceptions.RayError):  # a bar that stands still costs no caption
        ray.get(counts.add.remote(name, done))


@contextmanager
def _heard(counts: Any) -> Iterator[None]:
    """Hand on what workers count, now and then, and at the end."""
    ended = threading.Event()

    def hear() -> None:
        with suppress(ray.exceptions.RayError):
            for name, done in ray.get(counts.take.remote()).items():
                deliver(name, done)

    def follow() -> None:
        while not ended.wait(TELL_SECONDS):
            hear()

    thread = threading.Thread(target=follow, name="ray-counts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        hear()


def run_units_on_ray(
    unit_ids: Sequence[str],
    make_worker: MakeWorker,
    config: RuntimeConfig,
    on_done: OnUnitDone,
    stop: threading.Event,
    *,
    address: str | None = None,
) -> None:
    """Run every unit once on an actor pool of `config.num_workers`, or of fewer to begin with.

    Ray shows each actor its own GPUs alone, and equal parts of one GPU to actors that share it.
    An actor has one unit at a time: what waits behind a slow one would wait for nothing.
    address: of the cluster to join; None: one that is started here.

    Raises:
        InputError: the cluster has fewer GPUs than the actors ask for; Ray would wait for ever.
        OSError, StoppedError: as a worker raised it.
    """
    environment = travelling(config.env, os.environ)
    started_here = not ray.is_initialized()
    if started_here:
        _start(config, address)
    try:
        most = min(config.num_workers, len(unit_ids))
        least = min(config.least_workers or most, most)
        num_gpus = _gpus_per_actor(config.gpus, config.least_workers or config.num_workers)
        counts = ray.remote(_Counts).options(num_cpus=0).remote()
        with _heard(counts), _data_context():
            fixed = (environment, ray.cloudpickle.dumps(make_worker), counts)
            units = _dataset(unit_ids).map_batches(
                _UnitActor,
                fn_constructor_args=fixed,
                compute=ray.data.ActorPoolStrategy(
                    min_size=least, max_size=most, max_tasks_in_flight_per_actor=1
                ),
                batch_size=1,
                num_cpus=_cpus_per_actor(config),
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


def _dataset(unit_ids: Sequence[str]) -> Any:
    """A row and a block for each."""
    rows = [{"unit_id": unit_id} for unit_id in unit_ids]
    return ray.data.from_items(rows, override_num_blocks=len(rows))


@contextmanager
def _data_context() -> Iterator[None]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = 0  # an error is a bug or a full disk: stop, lose nothing
    # Busy is full here: with one unit an actor, the pool is never used more than once over.
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    yield


def _cpus_per_actor(config: RuntimeConfig) -> float:
    """What its threads keep busy, as far as any machine has that many; Ray would wait for ever."""
    found = [float(n["Resources"].get("CPU", 0)) for n in ray.nodes() if n["Alive"]]
    return max(1.0, min(float(config.cpus_per_worker), max(found, default=1.0)))


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


def _start(config: RuntimeConfig, address: str | None) -> None:
    # The step's own progress and errors are what a person needs; Ray's are about its insides.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_signals():
        if address is not None:
            _join(address, options)
        else:
            # One more than the workers: the pool must never wait for Ray Data's own tasks.
            num_cpus = config.num_workers * config.cpus_per_worker + 1
            ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **options)
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    say.tell(f"logs of the workers, on each machine: {folder}/{WORKER_LOGS}", "note")


def _join(address: str, options: dict[str, Any]) -> None:
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        wants_token = "InvalidAuthToken" in "".join(traceback.format_exception(error))
        way_out = (
            "It asks for a token: set RAY_AUTH_MODE=token where ~/.ray/auth_token holds the "
            "cluster's"
            if wants_token
            else "Check the address, and that both run the same versions of Ray and Python"
        )
        raise InputError(
            f"the Ray cluster at {address!r} cannot be joined: {str(error).strip()[:300]}. "
            f"{way_out}; or start Ray here with --ray-address local"
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and would end the command without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
