"""The child's side of `child`: `python -m …serve DESCRIPTOR module:name GRACE_SECONDS SCRATCH`.

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
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

KNOWN_PACKAGES = ("builtins", "mama_augment")
"""Exceptions of others travel as text: the parent must not import their modules."""


def serve(connection: Connection, target: Callable[..., Any]) -> None:
    """Answer until the other side goes away: (True, answer), or (False, (error, traceback))."""
    connection.send((True, None))
    while True:
        try:
            args = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        try:
            answer = pickle.dumps((True, target(*pickle.loads(args))))
        except Exception as error:
            answer = _pickled(error)
        try:
            connection.send_bytes(answer)
        except ConnectionError:
            return


def _pickled(error: Exception) -> bytes:
    trace = traceback.format_exception(error)
    if type(error).__module__.split(".")[0] in KNOWN_PACKAGES:
        try:
            content = pickle.dumps((False, (error, trace)))
            pickle.loads(content)
        except Exception:  # its arguments are not those of its constructor
            pass
        else:
            return content
    return pickle.dumps((False, (None, trace)))


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
    descriptor, name, grace, scratch = sys.argv[1:]
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
