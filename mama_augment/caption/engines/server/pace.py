"""How many requests a server gets at once, found out by asking: one more for each round that went
well, half of them when it says that it is too much (AIMD, as TCP does it)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mama_augment.core.errors import StoppedError

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
"""Doubled each time that the server stays overloaded, unless it names a time itself."""
MAX_PAUSE_SECONDS = 30.0
TOLD_SECONDS = 60.0
"""From here on a wait is worth a word."""
MOST_WAIT_SECONDS = 3600.0
"""Whoever asks for more is asked again by the next run."""


class Time:
    """The clock, sleep and chance; tests have others."""

    def now(self) -> float:
        """Seconds, from whenever."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def draw(self) -> float:
        """From 0 to 1."""
        return random.random()

    def jittered(self, seconds: float) -> float:
        """Half of it up to all of it, so that those who fell together do not rise together."""
        return seconds * (0.5 + 0.5 * self.draw())


class Pace:
    """A gate for all requests to one server, from whatever thread; lives in one event loop.

    limit: how many may be under way, 1 to `most`.
    """

    def __init__(self, clock: Time | None = None) -> None:
        self._time = clock or Time()
        self.most = 0
        self.limit = 0.0
        self.num_running = 0
        self._not_before = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._cut_at = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()

    def widen(self, number: int) -> None:
        """Another engine asks, up to `number` at once; a negative number: one has gone."""
        is_free = self.limit >= self.most
        self.most += number
        self.limit = float(self.most) if is_free else max(1.0, min(self.limit, self.most))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for a place, and hold it; gives the time at which it began."""
        await self._enter()
        try:
            yield self._time.now()
        finally:
            self.num_running -= 1
            self._wake()

    def went_well(self) -> None:
        """An answer came: one more at once for each `limit` of these."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._pause = FIRST_PAUSE_SECONDS

    def was_too_much(self, began: float, retry_after: float | None) -> None:
        """The server refused a request that began then, because of how many there are.

        Requests that were under way when the limit was cut tell nothing new.

        Raises:
            StoppedError: it asks for a longer time than anybody waits for.
        """
        if retry_after is not None and retry_after > MOST_WAIT_SECONDS:
            raise StoppedError(
                f"the server asks to be left alone for {retry_after / 3600:.1f} hours. Run the "
                "command again then: it continues"
            )
        now = self._time.now()
        if began > self._cut_at:
            self.limit = max(1.0, min(self.limit, self.num_running) / 2)
            self._cut_at = now
            seconds = self._time.jittered(self._pause)
            self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        elif retry_after is None:
            return
        if retry_after is not None:
            seconds = retry_after * (1 + 0.1 * self._time.draw())
            if retry_after >= TOLD_SECONDS and now + seconds > self._not_before + TOLD_SECONDS:
                log.warning("the server asks to wait %.0f s", retry_after)
        self._not_before = max(self._not_before, now + seconds)

    async def _enter(self) -> None:
        while True:
            seconds = self._not_before - self._time.now()
            if seconds > 0:
                await self._time.sleep(seconds)
            elif self.num_running < int(self.limit):
                self.num_running += 1
                return
            else:
                await self._place()

    async def _place(self) -> None:
        """Until somebody leaves."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._wake()  # the place is another's
            raise

    def _wake(self) -> None:
        """Those that there is room for."""
        num_free = int(self.limit) - self.num_running
        while self._waiting and num_free > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                num_free -= 1
