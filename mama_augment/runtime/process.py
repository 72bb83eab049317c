"""A worker in a process of its own, with its own environment: that is how it sees its own GPUs."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection

from mama_augment.core.step import MakeWorker
from mama_augment.runtime import WorkerDiedError

CHILD_MODULE = "mama_augment.runtime.process_child"
CLOSE_SECONDS = 60.0
"""What an engine may take to let go of its GPU; then its process is killed."""


class ProcessWorker:
    """A UnitWorker that does its work in a fresh interpreter.

    What makes the worker is sent there, so its environment is set before anything heavy is
    imported. Ctrl-C is this process's to handle; the child leaves when this process is gone.
    """

    def __init__(self, make_worker: MakeWorker, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                # -P: modules that happen to lie in the current directory are none of ours.
                [sys.executable, "-P", "-m", CHILD_MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        self._connection = Connection(ours.detach())
        try:
            # What can be imported here can be imported there, as multiprocessing has it too.
            self._ask([path or os.getcwd() for path in sys.path])
            self._ask(make_worker)
        except BaseException:
            self.close()
            raise

    def run_unit(self, unit_id: str) -> int:
        """See UnitWorker.

        Raises:
            WorkerDiedError: the process is gone; its unit stays pending.
        """
        return self._ask(unit_id)

    def close(self) -> None:
        self._connection.close()  # tells the child to close its worker and leave
        try:
            self._child.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _ask(self, content: list[str] | MakeWorker | str) -> int:
        try:
            self._connection.send_bytes(pickle.dumps(content))
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            code = self._child.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise WorkerDiedError(f"a worker's process died with {how}") from error
        if isinstance(answer, BaseException):
            raise answer
        return int(answer)
