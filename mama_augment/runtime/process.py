"""A worker in a process of its own, with its own environment: that is how it sees its own GPUs."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping

from mama_augment.core.step import MakeWorker, UnitWorker
from mama_augment.runtime import WorkerDiedError
from mama_augment.runtime.child import Child, ChildConfig, ChildDiedError, RaisedInChildError

TARGET = "mama_augment.runtime.process:hosted"
GRACE_SECONDS = 20.0
"""For an engine to let go of its GPU when this process was killed."""
CLOSE_SECONDS = 60.0
"""What an engine may take to let go of its GPU; then its process is killed."""


class ProcessWorker:
    """A UnitWorker that does its work in a fresh interpreter.

    What makes the worker is sent there, so its environment is set before anything heavy is
    imported. Ctrl-C is this process's to handle; the child leaves when this process is gone.
    """

    def __init__(self, make_worker: MakeWorker, environment: Mapping[str, str]) -> None:
        self._child = Child(TARGET, environment, ChildConfig(grace_seconds=GRACE_SECONDS))
        try:
            self._receive()
            # What can be imported here can be imported there, as multiprocessing has it too.
            self._ask([path or os.getcwd() for path in sys.path], pickle.dumps(make_worker))
        except BaseException:
            self.close()
            raise

    def run_unit(self, unit_id: str) -> int:
        """See UnitWorker.

        Raises:
            WorkerDiedError: the process is gone; its unit stays pending.
        """
        return int(self._ask(unit_id))

    def close(self) -> None:
        self._child.close(CLOSE_SECONDS)  # the child closes its worker and leaves

    def _ask(self, *content: object) -> int:
        try:
            self._child.send(*content)
        except ChildDiedError as death:
            raise _worker_died(death) from death
        return self._receive()

    def _receive(self) -> int:
        try:
            return int(self._child.receive() or 0)
        except ChildDiedError as death:
            raise _worker_died(death) from death
        except RaisedInChildError as raised:
            trace = "".join(raised.trace)
            if raised.error is None:
                raise RuntimeError(trace) from None
            raised.error.add_note(trace)
            raise raised.error from None


def _worker_died(death: ChildDiedError) -> WorkerDiedError:
    return WorkerDiedError(f"a worker's process died with {death.how}")


class HostedWorker:
    """In the child: takes over the path of imports and makes the worker, then does its units."""

    def __init__(self) -> None:
        self._worker: UnitWorker | None = None

    def __call__(self, *content: object) -> int:
        if self._worker is not None:
            (unit_id,) = content
            return self._worker.run_unit(str(unit_id))
        path, make_worker = content
        assert isinstance(path, list)
        assert isinstance(make_worker, bytes)
        sys.path[:] = path
        self._worker = pickle.loads(make_worker)()
        return 0

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()


hosted = HostedWorker()
