"""Call a function in a process that can be killed: time limit, memory limit, survival of crashes.

Decoders of damaged files hang, leak and crash; none of that may reach the process that keeps the
accounts. The child is a fresh interpreter (nothing is forked), answers one call at a time over a
socket, and is replaced after a number of calls, because decoders leak. Its temporary files lie in
a directory (TMPDIR) that goes with it, however it ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

CHILD_MODULE = "mama_augment.runtime.isolate_child"
POLL_SECONDS = 0.05
MEGABYTE = 2**20


START_SECONDS = 120.0
"""A child that has not imported its function by then never will."""


class IsolationError(Exception):
    """A call without an answer; `reason` is timeout, out_of_memory or crashed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, kw_only=True)
class IsolationConfig:
    """What one call may take."""

    time_limit_seconds: float
    memory_limit_mb: int
    """Resident memory of the child."""
    num_calls_per_process: int = 500


class IsolatedFunction:
    """`target` ("package.module:function") in a child process of its own."""

    def __init__(self, target: str, config: IsolationConfig) -> None:
        self._target = target
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this object)
        self._scratch: str | None = None
        """The child's directory for temporary files: it cannot clean up when it is killed."""
        self._num_calls = 0

    def __call__(self, *args: Any) -> Any:
        """The function's answer, or an exception of this package that it raised.

        Raises:
            IsolationError: the child was killed by a limit or died, or the function raised
                something unexpected.
        """
        if self._num_calls >= self._config.num_calls_per_process:
            self.close()
        if self._child is None:
            self._start()
        assert self._connection is not None
        self._num_calls += 1
        try:
            self._connection.send(args)
            self._wait()
            is_answer, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if is_answer:
            return answer
        raise answer

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._stderr.seek(0)
            self._stderr.truncate()
            self._scratch = tempfile.mkdtemp(prefix="mama-augment-")
            # Fewer heaps: with one per thread, freed frames of one video stay with its threads.
            environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "TMPDIR": self._scratch}
            # -P: modules that happen to lie in the current directory are none of ours.
            command = [sys.executable, "-P", "-m", CHILD_MODULE]
            self._child = subprocess.Popen(
                [*command, str(theirs.fileno()), self._target, self._scratch],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=environment,
            )
        self._connection = Connection(ours.detach())
        self._num_calls = 0
        try:
            if not self._connection.poll(START_SECONDS):
                raise RuntimeError(f"{self._target} could not be imported in {START_SECONDS:g} s")
            self._connection.recv()
        except EOFError as error:
            # Not the fault of what the call is about: stop, rather than fail every call.
            raise RuntimeError(self._died().message) from error

    def _wait(self) -> None:
        """Until an answer is there; kills the child that passes a limit."""
        assert self._connection is not None
        assert self._child is not None
        deadline = time.monotonic() + self._config.time_limit_seconds
        while not self._connection.poll(POLL_SECONDS):
            if time.monotonic() > deadline:
                self.close()
                raise IsolationError(
                    "timeout", f"killed after {self._config.time_limit_seconds:g} seconds"
                )
            if resident_bytes(self._child.pid) > self._config.memory_limit_mb * MEGABYTE:
                self.close()
                raise IsolationError(
                    "out_of_memory", f"killed at more than {self._config.memory_limit_mb} MB"
                )

    def _died(self) -> IsolationError:
        assert self._child is not None
        code = self._child.wait()
        self._stderr.seek(0)
        last_words = self._stderr.read()[-2000:].decode(errors="replace").strip()
        self.close()
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return IsolationError("crashed", f"the process died {how}. {last_words}".strip())

    def cpu_seconds(self) -> float:
        """Processor time that the running child has used; 0 when none runs."""
        if self._child is None:
            return 0.0
        with open(f"/proc/{self._child.pid}/stat") as file:
            user_ticks, system_ticks = file.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")

    def peak_memory_mb(self) -> int:
        """Largest resident memory of the running child so far; 0 when none runs."""
        if self._child is None:
            return 0
        with open(f"/proc/{self._child.pid}/status") as file:
            peaks = [line for line in file if line.startswith("VmHWM:")]
        return int(peaks[0].split()[1]) // 1024 if peaks else 0

    def close(self) -> None:
        """Kill the child; the next call starts another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
