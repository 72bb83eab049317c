"""Run units on threads of this process; each thread owns its worker (and that its processes).

A single worker needs no thread. Workers with GPUs of their own each live in a process that sees no
others.
"""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from collections.abc import Sequence

from mama_augment.runtime import MakeWorker, OnUnitDone, RuntimeConfig, UnitWorker
from mama_augment.runtime.process import ProcessWorker

JOIN_SECONDS = 10.0
"""How long interrupted workers may take to let go of what they hold."""


def run_units_locally(
    unit_ids: Sequence[str], make_worker: MakeWorker, config: RuntimeConfig, on_done: OnUnitDone
) -> None:
    """Hand units out in order; after the first error no further unit starts, then it is raised."""
    if config.num_workers == 1 and not config.places:
        _run_here(unit_ids, make_worker, on_done)
        return
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for unit_id in unit_ids:
        todo.put(unit_id)
    events: queue.SimpleQueue[tuple[str, int] | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def start(number: int) -> UnitWorker:
        if not config.places:
            return make_worker()
        devices = ",".join(config.places[number])
        return ProcessWorker(make_worker, {"CUDA_VISIBLE_DEVICES": devices})

    def work(number: int) -> None:
        try:
            worker = start(number)
            try:
                while not stop.is_set():
                    try:
                        unit_id = todo.get_nowait()
                    except queue.Empty:
                        break
                    events.put((unit_id, worker.run_unit(unit_id)))
            finally:
                worker.close()
        except BaseException as error:
            events.put(error)
        finally:
            events.put(None)

    threads = [
        threading.Thread(target=work, args=(number,), name=f"unit-worker-{number}", daemon=True)
        for number in range(min(config.num_workers, len(unit_ids)))
    ]
    for thread in threads:
        thread.start()
    first_error: BaseException | None = None
    num_running = len(threads)
    try:
        while num_running:
            event = events.get()
            if event is None:
                num_running -= 1
            elif isinstance(event, BaseException):
                stop.set()
                first_error = first_error or event
            else:
                on_done(*event)
    except BaseException:
        stop.set()
        if not config.places:  # else their processes leave with this one
            _interrupt(threads)
        raise
    for thread in threads:
        thread.join()
    if first_error is not None:
        raise first_error


def _run_here(unit_ids: Sequence[str], make_worker: MakeWorker, on_done: OnUnitDone) -> None:
    """On this thread, so that Ctrl-C reaches the worker wherever it is, and it ends in order."""
    worker = make_worker()
    try:
        for unit_id in unit_ids:
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
