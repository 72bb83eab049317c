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
from mama_augment.core.reasons import reason_of

LEAST_UNITS = 2
LEAST_SOURCES = 2
"""All clips of one lost video may be several units in a row."""
SOURCES_WITHOUT_WITNESS = 8
"""Where nothing has ever gone well, as many different inputs must have failed."""


class EverybodysFaultError(StoppedError):
    """Units in a row all left for one reason of engine, store or network; `reason` is its code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class Breaker:
    """One worker's. Told of every unit that it has done, in order."""

    def __init__(self, step: str, still_works: Callable[[], bool | None]) -> None:
        """still_works: whether something that went well before goes well now; None: nothing did."""
        self._step = step
        self._still_works = still_works
        self._reason = ""
        self._num_units = self._num_items = 0
        self._sources: set[str] = set()

    def see(
        self, reasons: Iterable[str], num_items: int, sources: Iterable[str], example: str
    ) -> None:
        """A unit is done.

        reasons: why its items left, one for each item that did; num_items: of the unit; sources:
        what they were made from (videos); example: a message of one of them.

        Raises:
            EverybodysFaultError: this was no accident.
        """
        left = list(reasons)
        kinds = set(left)
        if len(left) < num_items or len(kinds) != 1 or not reason_of(self._step, left[0]).shared:
            self._forget()
            return
        (reason,) = kinds
        if reason != self._reason:
            self._forget()
        self._reason = reason
        self._num_units += 1
        self._num_items += num_items
        self._sources.update(sources)
        if self._is_no_accident():
            raise EverybodysFaultError(
                reason,
                f"{self._num_items:,} items in a row left for one reason that is none of theirs, "
                f"on {socket.gethostname()}: {reason} ({reason_of(self._step, reason).text}). "
                f"For example: {example}. They stay pending: mend that, and give the same command "
                "again",
            )

    def _is_no_accident(self) -> bool:
        if self._num_units < LEAST_UNITS or len(self._sources) < LEAST_SOURCES:
            return False
        works = self._still_works()
        if works:
            self._forget()
        return len(self._sources) >= SOURCES_WITHOUT_WITNESS if works is None else not works

    def _forget(self) -> None:
        self._reason = ""
        self._num_units = self._num_items = 0
        self._sources = set()
