"""Requests made ready on a thread of their own, while an engine generates."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mama_augment.caption.engines.base import CaptionRequest


@dataclass(frozen=True, kw_only=True)
class _End:
    """Nothing more comes; with what the source of requests raised."""

    error: BaseException | None


class Feeder:
    """Renders requests on a thread, a bounded number ahead; hands them over without blocking."""

    def __init__(self, render: Any, requests: Iterable[CaptionRequest], ahead: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._ended = False
        self._thread = threading.Thread(
            target=self._work, args=(render, requests), name="vllm-feeder", daemon=True
        )
        self._thread.start()

    def next(self, *, wait: bool) -> Any:
        """The next request; None when there is none yet (`wait` false) or none any more."""
        if self._ended:
            return None
        try:
            item = self._queue.get(block=wait)
        except queue.Empty:
            return None
        if not isinstance(item, _End):
            return item
        self._ended = True
        if item.error is not None:
            raise item.error  # what the source of requests raised
        return None

    def stop(self) -> None:
        """End the thread; what it had rendered is dropped."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self, render: Any, requests: Iterable[CaptionRequest]) -> None:
        last: BaseException | None = None
        try:
            for request in requests:
                if self._stopped.is_set():
                    break
                self._queue.put(render(request))
        except BaseException as error:
            last = error
        self._queue.put(_End(error=last))
