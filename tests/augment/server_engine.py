"""An engine of its own connections to a server, whose clock only moves while it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.server.engine import OpenAIEngine
from mama_augment.caption.engines.server.pace import Time
from mama_augment.caption.engines.server.shared import Server


class FakeTime(Time):
    """Waits are noted, and over at once; chance takes the longest."""

    def __init__(self, pauses: list[float] | None = None) -> None:
        self.pauses = pauses if pauses is not None else []
        self.passed = 0.0

    def now(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        until = self.passed + seconds
        await asyncio.sleep(0)
        self.passed = max(self.passed, until)

    def draw(self) -> float:
        return 1.0


@contextmanager
def opened(
    base_url: str, pauses: list[float] | None = None, time: Time | None = None, **config: Any
) -> Iterator[OpenAIEngine]:
    """An engine for the model `m`; its pauses are noted, and take no time."""
    server = Server(base_url, time or FakeTime(pauses))
    try:
        settings = EngineConfig(name="openai", model="m", base_url=base_url, **config)
        yield OpenAIEngine(settings, server)
    finally:
        server.close()
