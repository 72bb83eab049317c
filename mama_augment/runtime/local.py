"""Run units on threads of this process; each thread owns its worker (and that its processes).

A single worker needs no thread. Workers with GPUs of their own each live in a process that sees no
others.
"""

from __future__ import annotations

import ctypes
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence

from mama_augment.core.step import MakeWorker, OnUnitDone, UnitWorker
from mama_augment.runtime import RuntimeConfig, WorkerDiedError
from mama_augment.runtime.process import ProcessWorker
from mama_augment.runtime.tally import Listener

log = logging.getLogger(__name__)

MOST_DEATHS = 3
"""Processes that may die over one unit; then the unit kills them, or none can live here."""
JOIN_SECONDS = 10.0
"""How long interrupted workers may take to let go of what they hold."""

Event = tuple[str, int] | BaseException | None
"""What a thread tells: a unit is done, an error, or (None) that it has ended."""


def run_units_locally(
    unit_ids: Sequence[str],
    make_worker: MakeWorker,
    config: RuntimeConfig,
    on_done: OnUnitDone,
    stop: threading.Event,
) -> None:
    """Hand units out in order; after the first error no further unit starts, then it is raised."""
    if config.num_workers == 1 and not config.places:
        _run_here(unit_ids, make_worker, on_done, stop)
        return
    listener = Listener() if config.places else None
    if listener is not None:
        make_worker = listener.wrapped(make_worker)
    work = _Work(unit_ids, make_worker, config, stop)
    work.start()
    try:
        first_error = work.follow(on_done)
    except BaseException:
        work.is_over = True
        if not config.places:  # else their processes leave with this one
            _interrupt(work.threads)
        if listener is not None:
            listener.close(is_early=True)
        raise
    for thread in work.threads:
        thread.join()
    if listener is not None:
        listener.close()
    if first_error is not None:
        raise first_error


class _Work:
    """Units in a queue, and the threads that empty it."""

    def __init__(
        self,
        unit_ids: Sequence[str],
        make_worker: MakeWorker,
        config: RuntimeConfig,
        stop: threading.Event,
    ) -> None:
        self._make_worker = make_worker
        self._places = config.places
        self._todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        for unit_id in unit_ids:
            self._todo.put(unit_id)
        self._num_deaths: Counter[str] = Counter()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stop = stop
        self.is_over = False
        """After an error, as after `stop`, no further unit begins."""
        self.threads = [
            threading.Thread(
                target=self._thread, args=(number,), name=f"unit-worker-{number}", daemon=True
            )
            for number in range(min(config.num_workers, len(unit_ids)))
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def follow(self, on_done: OnUnitDone) -> BaseException | None:
        """Until every thread has ended; returns the first error."""
        first_error: BaseException | None = None
        num_running = len(self.threads)
        while num_running:
            event = self._events.get()
            if event is None:
                num_running -= 1
            elif isinstance(event, BaseException):
                self.is_over = True
                first_error = first_error or event
            else:
                on_done(*event)
        return first_error

    def _thread(self, number: int) -> None:
        worker: UnitWorker | None = None
        unit_id = ""
        try:
            while not (self.is_over or self._stop.is_set()):
                try:
                    unit_id = self._todo.get_nowait()
                except queue.Empty:
                    break
                try:
                    worker = worker or self._make(number)
                    self._events.put((unit_id, worker.run_unit(unit_id)))
                except WorkerDiedError as death:
                    self._hand_on(unit_id, number, death)
                    if worker is not None:
                        worker.close()
                    worker = None
        except BaseException as error:
            self._events.put(error)
        finally:
            try:
                if worker is not None:
                    worker.close()
            except BaseException as error:
                self._events.put(error)
            self._events.put(None)

    def _hand_on(self, unit_id: str, number: int, death: WorkerDiedError) -> None:
        """A unit whose worker died goes to whoever is free first.

        Raises:
            WorkerDiedError: it has had enough of them.
        """
        self._num_deaths[unit_id] += 1
        if self._num_deaths[unit_id] >= MOST_DEATHS:
            raise WorkerDiedError(
                f"{death}, as {MOST_DEATHS - 1} before it over the same work ({unit_id})"
            ) from death
        log.warning("worker %d: %s; it is started again, and its work handed on", number, death)
        self._todo.put(unit_id)

    def _make(self, number: int) -> UnitWorker:
        if not self._places:
            return self._make_worker()
        devices = ",".join(self._places[number])
        return ProcessWorker(self._make_worker, {"CUDA_VISIBLE_DEVICES": devices})


def _run_here(
    unit_ids: Sequence[str], make_worker: MakeWorker, on_done: OnUnitDone, stop: threading.Event
) -> None:
    """On this thread, so that Ctrl-C reaches the worker wherever it is, and it ends in order."""
    worker = make_worker()
    try:
        for unit_id in unit_ids:
            if stop.is_set():
                break
            on_done(unit_id, worker.run_unit(unit_id))
    finally:
        worker.close()


def _interrupt(threads: Sequence[threading.Thread]) -> None:
    """Raise KeyboardInterrupt in other threads too, and wait until they have ended.

    A thread inside torch's C++ code when the interpreter ends aborts the whole process.
    """
    for thread in threads:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
    deadline = time.monotonic() + JOIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
