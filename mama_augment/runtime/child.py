"""A fresh interpreter that answers one message at a time over a socket: the parent's side.

Nothing is forked, and nothing of the parent's main module is imported. `runtime.serve` is the other
side; what it does there is a target, "package.module:name".
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, BinaryIO

from mama_augment.runtime import room
from mama_augment.runtime.answers import (
    ANSWER,
    MOST_BYTES,
    BadAnswerError,
    unpacked,
    unpacked_error,
)

CHILD_MODULE = "mama_augment.runtime.serve"
STALL_SECONDS = 30
"""In a room, an answer that has begun goes on within this time."""


class ChildDiedError(Exception):
    """The process is gone; `how` is "signal NAME" or "exit code N"."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.is_by_signal = exit_code < 0
        self.how = (
            f"signal {signal.Signals(-exit_code).name}"
            if self.is_by_signal
            else f"exit code {exit_code}"
        )


class RaisedInChildError(Exception):
    """What the target raised.

    error: the exception itself where this process can know it (ours and the built-in ones).
    trace: its traceback as text, a piece per frame.
    """

    def __init__(self, error: Exception | None, trace: list[str]) -> None:
        super().__init__(error, trace)
        self.error = error
        self.trace = trace


@dataclass(frozen=True, kw_only=True)
class ChildConfig:
    """How a child lives and ends."""

    grace_seconds: float = 0.0
    """How long it may put things in order when its parent is gone; 0: it has nothing to."""
    scratch: str = ""
    """A directory that goes with the process, however it ends."""
    is_quiet: bool = False
    """Its standard output is thrown away."""
    room_mb: int = 0
    """Lives in a room (`runtime.room`), and is to need no more memory than this; 0: it is one of
    ours, with all that we have."""


class Child:
    """The process, and the socket to it. Its first answer, `None`, says that it is ready."""

    def __init__(
        self,
        target: str,
        environment: Mapping[str, str],
        config: ChildConfig,
        stderr: BinaryIO | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            settings = (
                *(theirs.fileno(), target, config.grace_seconds, config.scratch),
                config.room_mb,
            )
            inherited = room.environment(os.environ) if config.room_mb else os.environ
            self._process = subprocess.Popen(
                # -P: modules that happen to lie in the current directory are none of ours.
                [sys.executable, "-P", "-m", CHILD_MODULE, *map(str, settings)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if config.is_quiet else None,
                stderr=stderr,
                env={**inherited, **environment},
            )
        self._is_in_room = bool(config.room_mb)
        if self._is_in_room:
            patience = struct.pack("ll", STALL_SECONDS, 0)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, *args: Any) -> None:
        """Ask for `target(*args)`.

        Raises:
            ChildDiedError: nobody is there to ask.
        """
        content = pickle.dumps(args)
        try:
            self._connection.send_bytes(content)
        except OSError as error:
            raise self._died() from error

    def has_answer(self, seconds: float) -> bool:
        """Whether `receive` need not wait, after waiting `seconds` at most."""
        return self._connection.poll(seconds)

    def receive(self) -> Any:
        """The answer to the oldest message without one: dicts for dataclasses, lists for tuples.

        Raises:
            RaisedInChildError: the target raised.
            BadAnswerError: no answer that our own code would give.
            ChildDiedError: no answer will ever come.
        """
        try:
            content = self._connection.recv_bytes(MOST_BYTES)
        except BlockingIOError as error:
            raise BadAnswerError("half an answer") from error
        except (EOFError, OSError) as error:
            if str(error) == "bad message length":
                raise BadAnswerError(f"an answer of more than {MOST_BYTES:,} bytes") from error
            raise self._died() from error
        answer = unpacked(content[1:])
        if content[:1] == ANSWER:
            return answer
        raise RaisedInChildError(*unpacked_error(answer))

    def close(self, wait_seconds: float = 0.0) -> None:
        """Tell it to leave, and kill it when it has not in `wait_seconds`."""
        self._connection.close()
        try:
            if wait_seconds:
                self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            pass
        self._process.kill()  # nothing where it is gone already
        self._process.wait()

    def _died(self) -> ChildDiedError:
        if self._is_in_room:  # who knows why it hung up
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STALL_SECONDS)
            self._process.kill()
        return ChildDiedError(self._process.wait())
