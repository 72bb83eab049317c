"""The breaker: a fault that is everybody's stops the step, and rejects nobody.

A store that is down, a disk that is not mounted or a wrong `--video-root` would let every item
leave, one by one, at full speed. So units whose items all left for one such reason are counted by
the worker that meets them; when it sees that they are no accident, it stops the step, and they are
pending again (`core.step.run` takes their records back).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from mama_augment.core.errors import StoppedError
from mama_augment.core.reasons import is_shared, reason_of

LEAST_UNITS = 2
LEAST_SOURCES = 2
"""All clips of one lost video may be several units in a row."""
LEAST_ITEMS_OF_ALL = 8
"""A directory of fewer items, none of which is ok, is what it is."""


class EverybodysFaultError(StoppedError):
    """Units in a row all left for one reason of engine, store or network; `reason` is its code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


def everybodys_fault(step: str, reason: str, num_items: int, example: str) -> EverybodysFaultError:
    """The error that says so."""
    return EverybodysFaultError(
        reason,
        f"{num_items:,} items in a row left for one reason that is none of theirs, on "
        f"{socket.gethostname()}: {reason} ({reason_of(step, reason).text}). For example: "
        f"{example}. They stay pending: mend that, and give the same command again",
    )


class Breaker:
    """One worker's. Told of every unit that it has done, in order."""

    def __init__(self, step: str, still_works: Callable[[], bool]) -> None:
        """still_works: whether another input, best one that went well before, goes well now."""
        self._step = step
        self._still_works = still_works
        self._reason = ""
        self._num_units = self._num_items = 0
        self._sources: set[str] = set()

    def see(
        self, reasons: Iterable[str], num_items: int, sources: Iterable[str], example: str
    ) -> None:
        """A unit is done.

        reasons: why its items left, one for each item that did; num_items: of the unit, that were
        tried now; sources: what they were made from (videos); example: a message of one of them.

        Raises:
            EverybodysFaultError: this was no accident.
        """
        if not num_items:
            return
        left = list(reasons)
        kinds = set(left)
        if len(left) < num_items or len(kinds) != 1 or not is_shared(self._step, left[0]):
            self._forget()
            return
        (reason,) = kinds
        if reason != self._reason:
            self._forget()
        self._reason = reason
        self._num_units += 1
        self._num_items += num_items
        self._sources.update(sources)
        if self._num_units < LEAST_UNITS or len(self._sources) < LEAST_SOURCES:
            return
        if not self._still_works():
            raise everybodys_fault(self._step, reason, self._num_items, example)
        self._forget()

    def _forget(self) -> None:
        self._reason = ""
        self._num_units = self._num_items = 0
        self._sources = set()
