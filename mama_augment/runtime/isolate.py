"""Call a function in a process that can be killed: time limit, memory limit, survival of crashes.

Decoders of damaged files hang, leak and crash; none of that may reach the process that keeps the
accounts. The child is replaced after a number of calls, because decoders leak. Its temporary files
lie in a directory (TMPDIR) that goes with it, however it ends. It lives in a room (`runtime.room`),
and its answers are only read.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mama_augment.runtime.answers import BadAnswerError, check
from mama_augment.runtime.child import Child, ChildConfig, ChildDiedError, RaisedInChildError

POLL_SECONDS = 0.05
MEGABYTE = 2**20
COMPUTING = 0.5
"""Of a time limit: whoever wanted a processor for so long was not waiting for a disk."""
START_SECONDS = 120.0
"""A child that has not imported its function by then never will."""


class IsolationError(Exception):
    """A call without an answer; `reason` is timeout, out_of_memory or crashed."""

    def __init__(self, reason: str, message: str, *, was_computing: bool = False) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.was_computing = was_computing
        """A time limit was spent computing, and not waiting: another try would end the same."""


@dataclass(frozen=True, kw_only=True)
class IsolationConfig:
    """What one call may take."""

    time_limit_seconds: float
    memory_limit_mb: int
    """Resident memory of the child."""
    num_calls_per_process: int = 500
    has_network: bool = False
    """No room: it keeps the whole environment and the network, to fetch what it is told to."""


class IsolatedFunction:
    """`target` ("package.module:function") in a child process of its own."""

    def __init__(self, target: str, config: IsolationConfig, answer: Any = Any) -> None:
        """answer: the type of what the function gives; anything else counts as a crash."""
        self._target = target
        self._answer = answer
        self._config = config
        self._child: Child | None = None
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
        child = self._child or self._start()
        self._num_calls += 1
        try:
            child.send(*args)
            self._wait(child)
            return check(self._answer, child.receive())
        except ChildDiedError as death:
            raise self._crashed(death) from death
        except BadAnswerError as error:
            self.close()
            raise IsolationError("crashed", f"the process gave {error}") from error
        except RaisedInChildError as raised:
            raise _verdict(raised) from None

    def _start(self) -> Child:
        self._stderr.seek(0)
        self._stderr.truncate()
        self._scratch = tempfile.mkdtemp(prefix="mama-augment-")
        # Fewer heaps: with one per thread, freed frames of one video stay with its threads.
        environment = {"MALLOC_ARENA_MAX": "2", "TMPDIR": self._scratch}
        room_mb = 0 if self._config.has_network else self._config.memory_limit_mb
        config = ChildConfig(scratch=self._scratch, is_quiet=True, room_mb=room_mb)
        child = self._child = Child(self._target, environment, config, self._stderr)
        self._num_calls = 0
        if not child.has_answer(START_SECONDS):
            self.close()
            raise RuntimeError(f"{self._target} could not be imported in {START_SECONDS:g} s")
        try:
            child.receive()
        except ChildDiedError as death:
            # Not the fault of what the call is about: stop, rather than fail every call.
            raise RuntimeError(self._crashed(death).message) from death
        return child

    def _wait(self, child: Child) -> None:
        """Until an answer is there; kills the child that passes a limit."""
        limit = self._config.time_limit_seconds
        deadline = time.monotonic() + limit
        before: float | None = None
        while not child.has_answer(POLL_SECONDS):
            if before is None:  # short calls are not asked
                before = wanted_seconds(child.pid)
            if time.monotonic() > deadline:
                was_computing = wanted_seconds(child.pid) - before > COMPUTING * limit
                self.close()
                raise IsolationError(
                    "timeout", f"killed after {limit:g} seconds", was_computing=was_computing
                )
            if resident_bytes(child.pid) > self._config.memory_limit_mb * MEGABYTE:
                self.close()
                raise IsolationError(
                    "out_of_memory", f"killed at more than {self._config.memory_limit_mb} MB"
                )

    def _crashed(self, death: ChildDiedError) -> IsolationError:
        self._stderr.seek(0)
        last_words = self._stderr.read()[-2000:].decode(errors="replace").strip()
        self.close()
        how = f"{'by' if death.is_by_signal else 'with'} {death.how}"
        return IsolationError("crashed", f"the process died {how}. {last_words}".strip())

    def cpu_seconds(self) -> float:
        """Processor time that the running child has used; 0 when none runs."""
        if self._child is None:
            return 0.0
        try:
            with open(f"/proc/{self._child.pid}/stat") as file:
                user_ticks, system_ticks = file.read().rsplit(")", 1)[1].split()[11:13]
        except (OSError, IndexError):  # gone just now
            return 0.0
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
        if self._child is not None:
            self._child.close()
            self._child = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def _verdict(raised: RaisedInChildError) -> Exception:
    """An exception of this package as it is, any other as the reason of a reject."""
    if isinstance(raised.error, MemoryError):
        return IsolationError("out_of_memory", "an allocation failed")
    if raised.error is not None and type(raised.error).__module__.startswith("mama_augment."):
        return raised.error
    return IsolationError("crashed", "".join(raised.trace[-3:]).strip())


def wanted_seconds(pid: int) -> float:
    """How long a process's threads have had a processor, or have waited for one on a busy machine;
    0 where it is gone, or the kernel does not count."""
    total = 0
    for path in glob.iglob(f"/proc/{pid}/task/*/schedstat"):
        with suppress(OSError, ValueError), open(path) as file:
            total += sum(map(int, file.read().split()[:2]))
    return total / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
