"""How signals end a command, a step and a training: handlers for a while; SIGTERM that drains."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from mama_augment.core.errors import TerminatedError

DRAIN_SECONDS = 5.0
"""After SIGTERM, how long units in flight may take to be finished and committed."""

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Inside, signals are these handlers'; afterwards, whose they were before.

    Only the main thread can receive signals; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Stop:
    """SIGTERM ends the main thread: at once, or when units in flight have had their time."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._drains = False

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGTERM; a second one does not wait."""
        if not self._drains or self.asked.is_set():
            raise TerminatedError
        self.asked.set()
        signal.setitimer(signal.ITIMER_REAL, DRAIN_SECONDS)

    def give_up(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGALRM."""
        raise TerminatedError

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Inside, units are in flight."""
        self._drains = True
        try:
            yield
        except Exception as error:
            if self.asked.is_set():  # a signal to a whole group of processes ended a worker, too
                raise TerminatedError from error
            raise
        finally:
            self._drains = False
            if self.asked.is_set():
                signal.setitimer(signal.ITIMER_REAL, 0)
        if self.asked.is_set():
            raise TerminatedError


@contextmanager
def terminable() -> Iterator[Stop]:
    """Inside, SIGTERM is a `Stop`'s."""
    stop = Stop()
    with handled({signal.SIGTERM: stop.terminate, signal.SIGALRM: stop.give_up}):
        yield stop


def terminate(number: int, frame: FrameType | None) -> None:
    """A handler that ends the main thread at once, in order."""
    raise TerminatedError
