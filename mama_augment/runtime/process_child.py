"""The other side of `process`: python -m mama_augment.runtime.process_child DESCRIPTOR."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import NoReturn

from mama_augment.core.step import UnitWorker

GRACE_SECONDS = 20.0


def serve(connection: Connection) -> None:
    """Take over the path of imports, make the worker, do its units, until nobody asks."""
    sys.path[:] = pickle.loads(connection.recv_bytes())
    connection.send_bytes(pickle.dumps(0))
    worker: UnitWorker | None = None
    try:
        while True:
            try:
                content = connection.recv_bytes()
            except (EOFError, ConnectionError):
                return
            try:
                if worker is None:
                    worker, answer = pickle.loads(content)(), pickle.dumps(0)
                else:
                    answer = pickle.dumps(worker.run_unit(pickle.loads(content)))
            except Exception as error:
                answer = _pickled(error)
            try:
                connection.send_bytes(answer)
            except ConnectionError:
                return
    finally:
        if worker is not None:
            worker.close()


def _pickled(error: Exception) -> bytes:
    """An error with its traceback; one of a module that the parent may lack travels as text."""
    text = "".join(traceback.format_exception(error))
    if type(error).__module__.split(".")[0] in ("builtins", "mama_augment"):
        error.add_note(text)
        content = pickle.dumps(error)
        try:
            pickle.loads(content)
        except Exception:  # its arguments are not those of its constructor
            return pickle.dumps(RuntimeError(text))
        return content
    return pickle.dumps(RuntimeError(text))


def _leave_with(parent_pid: int) -> None:
    """When the parent was killed, even in the middle of a unit: its GPU must become free."""
    while os.getppid() == parent_pid:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _stop(number: int, frame: object) -> NoReturn:
    """Through every `finally`, so that an engine's processes end as well."""
    raise SystemExit(1)


def _main() -> None:
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    _main()
