"""The child's side of `child`: `python -m …serve DESCRIPTOR module:name GRACE SCRATCH ROOM_MB`.

Ctrl-C is the parent's to handle, and so is SIGTERM where this process has nothing to put in order:
a batch system sends it to all processes of a job, and the parent must not take that for a crash.
The parent may be killed at any moment: this process notices, and leaves.
"""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from mama_augment.runtime import room
from mama_augment.runtime.answers import ANSWER, ERROR, packed, packed_error


def serve(connection: Connection, target: Callable[..., Any]) -> None:
    """Answer until the other side goes away."""
    connection.send_bytes(ANSWER + packed(None))
    while True:
        try:
            args = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        try:
            answer = ANSWER + packed(target(*pickle.loads(args)))
        except Exception as error:
            answer = ERROR + packed_error(error)
        try:
            connection.send_bytes(answer)
        except ConnectionError:
            return


def _leave_with(parent_pid: int, grace_seconds: float, scratch: str) -> None:
    """When the parent was killed, even in the middle of a call that never returns."""
    while os.getppid() == parent_pid:
        time.sleep(1.0)
    if grace_seconds:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(grace_seconds)
    _delete(scratch)
    os._exit(1)


def _stop(number: int, frame: object) -> NoReturn:
    """Through every `finally`, so that a target's own processes end as well."""
    raise SystemExit(1)


def _delete(scratch: str) -> None:
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)


def _main() -> None:
    descriptor, name, grace, scratch, room_mb = sys.argv[1:]
    if int(room_mb):
        room.enter(room.Room(memory_mb=int(room_mb)))
    watched = (os.getppid(), float(grace), scratch)
    threading.Thread(target=_leave_with, args=watched, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A handler that does nothing: what is started from here would inherit that it is ignored.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.signal(signal.SIGUSR1, _stop)
    module, _, attribute = name.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    try:
        serve(Connection(int(descriptor)), target)
    finally:
        if hasattr(target, "close"):
            target.close()
        _delete(scratch)  # a parent that ended without `close`


if __name__ == "__main__":
    _main()
