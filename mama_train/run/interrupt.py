"""Ctrl-C and SIGTERM wait for the end of a step: half a step cannot be resumed from."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from mama_augment.core.errors import TerminatedError
from mama_augment.core.signals import handled


@dataclass
class Interrupt:
    """Whether this process was asked to stop, and by which signal."""

    asked: bool = False
    error: type[KeyboardInterrupt] = KeyboardInterrupt
    """What to end with."""


@contextmanager
def deferred(on_first: Callable[[], None]) -> Iterator[Interrupt]:
    """Inside, the first signal is noted (and `on_first` called), the next one is raised.

    Only the main thread can receive signals; in another one nothing changes.
    """
    interrupt = Interrupt()

    def receive(number: int, frame: FrameType | None) -> None:
        interrupt.error = TerminatedError if number == signal.SIGTERM else KeyboardInterrupt
        if interrupt.asked:
            raise interrupt.error
        interrupt.asked = True
        with suppress(RuntimeError):  # the signal came while the same stream was written to
            on_first()

    with handled({signal.SIGINT: receive, signal.SIGTERM: receive}):
        yield interrupt
