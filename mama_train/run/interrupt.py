"""Ctrl-C waits for the end of a step, because half a step cannot be resumed from."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupt:
    """Whether this process was asked to stop (SIGINT)."""

    asked: bool = False


@contextmanager
def deferred(on_first: Callable[[], None]) -> Iterator[Interrupt]:
    """Inside, the first SIGINT is noted (and `on_first` called), the next raises KeyboardInterrupt.

    Only the main thread can receive signals; in another one nothing changes.
    """
    interrupt = Interrupt()

    def receive(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        with suppress(RuntimeError):  # the signal came while the same stream was written to
            on_first()

    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, receive)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
