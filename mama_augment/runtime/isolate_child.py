"""The other side of `isolate`: `python -m …isolate_child FD module:function SCRATCH`."""

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
from typing import Any

from mama_augment.runtime.isolate import IsolationError


def serve(connection: Connection, function: Callable[..., Any]) -> None:
    """The child's loop: until the other side goes away."""
    connection.send("ready")
    while True:
        try:
            args = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, function(*args))
        except MemoryError:
            answer = (False, IsolationError("out_of_memory", "an allocation failed"))
        except Exception as error:
            answer = (False, error)
        connection.send_bytes(_pickled(answer))


def _pickled(answer: tuple[bool, Any]) -> bytes:
    """Exceptions of modules that the parent must not import travel as text."""
    is_answer, content = answer
    if not is_answer and type(content).__module__.split(".")[0] != "mama_augment":
        text = "".join(traceback.format_exception(content)[-3:])
        content = IsolationError("crashed", text.strip())
    return pickle.dumps((is_answer, content))


def _die_with(parent_pid: int, scratch: str) -> None:
    """Leave when the parent was killed, even in the middle of a long call."""
    while os.getppid() == parent_pid:
        time.sleep(1.0)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _main() -> None:
    descriptor, target, scratch = sys.argv[1:]
    threading.Thread(target=_die_with, args=(os.getppid(), scratch), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    serve(Connection(int(descriptor)), function)
    shutil.rmtree(scratch, ignore_errors=True)  # a parent that ended without `close`


if __name__ == "__main__":
    _main()
