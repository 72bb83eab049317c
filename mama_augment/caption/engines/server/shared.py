"""A server as all engines of this process share it: one thread, its connections and its pace."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from mama_augment.caption.engines.server.client import Client
from mama_augment.caption.engines.server.pace import Pace, Time

Made = TypeVar("Made")

CLOSE_SECONDS = 10.0
MOST_ENCODERS = 8
_servers: dict[str, Server] = {}
_lock = threading.Lock()


class Server:
    """An event loop on a thread of its own; `run` hands it work from any other."""

    def __init__(self, base_url: str, clock: Time | None = None) -> None:
        """
        Raises:
            InputError: see `Client`.
        """
        self.time = clock or Time()
        self.client = Client(base_url)
        self.pace = Pace(self.time)
        self.num_users = 0
        # Pictures are packed beside the loop, which must stay free to answer.
        self.encoders = ThreadPoolExecutor(
            min(MOST_ENCODERS, len(os.sched_getaffinity(0))), thread_name_prefix="openai-encode"
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="openai-server", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Made]) -> Future[Made]:
        """Begin a coroutine; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End what is under way, and the thread."""
        self.run(self._end()).result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        self._loop.close()
        self.encoders.shutdown(cancel_futures=True)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.client.close()


def enter(base_url: str, number: int) -> Server:
    """The server at an address, asked up to `number` at once by one engine more.

    Raises:
        InputError: see `Client`.
    """
    with _lock:
        server = _servers.get(base_url) or Server(base_url)
        _servers[base_url] = server
        server.num_users += 1
    server.run(_widen(server, number)).result()
    return server


def leave(base_url: str, number: int) -> None:
    """One engine less; the last one closes it."""
    with _lock:
        server = _servers[base_url]
        server.num_users -= 1
        if not server.num_users:
            del _servers[base_url]
    if server.num_users:
        server.run(_widen(server, -number)).result()
    else:
        server.close()


async def _widen(server: Server, number: int) -> None:
    server.pace.widen(number)
