"""Counts of workers elsewhere, told to the command while they work.

A worker says how many items of a unit are done, as a whole; what comes twice (a worker died, and
its unit was begun anew) counts once.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from weakref import WeakValueDictionary

from mama_augment.core.step import MakeWorker, UnitWorker

TELL_SECONDS = 0.5
"""Workers elsewhere tell no more often."""
LONGEST_FOLDER = 70

Send = Callable[[str, dict[str, int]], None]
"""Takes a tally's name, and items that are done by unit."""
_open: WeakValueDictionary[str, Tally] = WeakValueDictionary()
"""Of this process."""
_channel: list[Send] = []
"""Of a worker's process: the way to the command."""


class Tally:
    """Called with (unit, items of it that are done), here or where it was sent to."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        """advance: told of further items, one call at a time."""
        self.name = uuid.uuid4().hex
        self._advance: Callable[[int], None] | None = advance
        self._done: dict[str, int] = {}
        self._told_at = 0.0
        self._lock = threading.Lock()
        _open[self.name] = self

    def __getstate__(self) -> str:
        return self.name

    def __setstate__(self, name: str) -> None:
        self.name = name
        self._advance, self._done, self._told_at = None, {}, 0.0
        self._lock = threading.Lock()

    def __call__(self, unit_id: str, num_done: int) -> None:
        with self._lock:
            if self._advance is not None:
                before = self._done.get(unit_id, 0)
                if num_done > before:
                    self._done[unit_id] = num_done
                    self._advance(num_done - before)
                return
            self._done[unit_id] = num_done
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Tell what has not been told yet."""
        with self._lock:
            waiting, self._told_at = self._done, time.monotonic()
            if self._advance is not None or not waiting:
                return
            self._done = {}
        for send in _channel:
            send(self.name, waiting)


def connect(send: Send) -> None:
    """In a worker's process: the way to the command from now on."""
    _channel[:] = [send]


def deliver(name: str, counts: dict[str, int]) -> None:
    """In the command's process: what a worker sent."""
    tally = _open.get(name)
    if tally is not None:
        for unit_id, num_done in counts.items():
            tally(unit_id, num_done)


class Listener:
    """Hears workers of this machine, on a socket that this user alone can open."""

    def __init__(self) -> None:
        # The kernel takes no longer address than 107 bytes; batch systems have long TMPDIRs.
        is_long = len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER
        self._folder = tempfile.mkdtemp(prefix="mama-augment-", dir="/tmp" if is_long else None)
        self.address = f"{self._folder}/tally"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address)
        self._socket.listen(64)
        self._is_over = False
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="tally-accept", daemon=True)
        self._accepting.start()

    def wrapped(self, make_worker: MakeWorker) -> MakeWorker:
        """The same worker, in whose process tallies find their way here."""
        return partial(_connected, self.address, make_worker)

    def close(self, *, is_early: bool = False) -> None:
        """Once the workers have gone: hear what they said last. is_early: they have not, and
        nobody listens any more."""
        self._is_over = True
        with socket.socket(socket.AF_UNIX) as waker:
            waker.connect(self.address)
            self._accepting.join()
        self._socket.setblocking(False)
        with suppress(BlockingIOError):  # those who came meanwhile
            while True:
                self._start(partial(self._hear, self._socket.accept()[0]))
        for thread in [] if is_early else self._threads:
            thread.join(timeout=10)
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="tally", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_over:
            connection, _ = self._socket.accept()
            self._start(partial(self._hear, connection))

    def _hear(self, connection: socket.socket) -> None:
        with connection, connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # else a kill cut it short
                    deliver(*json.loads(line))


def _connected(address: str, make_worker: MakeWorker) -> UnitWorker:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    connect(lambda name, counts: connection.sendall(json.dumps([name, counts]).encode() + b"\n"))
    return make_worker()
