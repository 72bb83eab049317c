"""Captions by any server that speaks OpenAI's chat protocol, such as `vllm serve`."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import CaptionRequest, EngineError, Result
from mama_augment.caption.engines.server.chat import (
    UnfinishedAnswerError,
    body_of,
    completions_of,
)
from mama_augment.caption.engines.server.client import BrokenOffError, UnreachableError
from mama_augment.caption.engines.server.pace import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS
from mama_augment.caption.engines.server.refusals import (
    ADAPTATIONS,
    ServerRefusalError,
    adapted,
    refusal_of,
    refused_parameter,
)
from mama_augment.caption.engines.server.shared import Server, enter, leave
from mama_augment.core.errors import StoppedError

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 6
"""With pauses of 8 to 15 s in all between them, unless the server names times itself."""
MAX_TIMEOUTS = 2
"""What took so long once will the next time, too."""
MAX_KNOCKS = 10
"""Attempts to reach a server that is not there, over one to two minutes: it may be starting."""
LOOK_SECONDS = 1.0
"""How often a thread that waits for answers can be interrupted."""
PASSING = (
    (TimeoutError, "timeout"),
    (ServerRefusalError, "server_error"),
    (UnfinishedAnswerError, "engine_error"),
    (BrokenOffError, "engine_error"),
)
"""Why a request failed whose every attempt met this."""


@dataclass
class _Trials:
    """The attempts of one request: a new one after a pause, or the reason why there is none."""

    base_url: str
    num_attempts: int = 0
    num_timeouts: int = 0
    pause_seconds: float = FIRST_PAUSE_SECONDS

    def after(self, error: Exception) -> EngineError | None:
        """None: try again, after `pause_seconds`.

        Raises:
            StoppedError: nobody is there, which is not this request's fault.
        """
        if isinstance(error, ServerRefusalError) and error.status == 429:
            return None  # too many at once is no clip's fault: it waits as long as it takes
        self.num_attempts += 1
        if isinstance(error, UnreachableError):
            if self.num_attempts < MAX_KNOCKS:
                return None
            raise StoppedError(
                f"no server answers at {self.base_url} any more: {error}. Start it again, and run "
                "the command again: it continues"
            ) from error
        self.num_timeouts += isinstance(error, TimeoutError)
        if self.num_attempts < MAX_ATTEMPTS and self.num_timeouts < MAX_TIMEOUTS:
            return None
        reason = next(reason for kind, reason in PASSING if isinstance(error, kind))
        return EngineError(reason=reason, message=f"{error} ({self.num_attempts} attempts)")


class OpenAIEngine:
    """As many requests at once as the server bears, each retried with growing pauses.

    A server that cannot be reached stops the run: nothing is marked as failed for it.
    The key, where one is needed, is read from the environment variable OPENAI_API_KEY.
    """

    def __init__(self, config: EngineConfig, server: Server | None = None) -> None:
        """server: one of its own, which `close` leaves open; by default that of all engines of
        this process at this address."""
        self.config = config
        self._is_shared = server is None
        self._server = server or enter(config.base_url, config.max_in_flight)
        if server is not None:
            server.pace.widen(config.max_in_flight)
        self._adapted: frozenset[str] = frozenset()

    def close(self) -> None:
        """Let go of the connections."""
        if self._is_shared:
            leave(self.config.base_url, self.config.max_in_flight)

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        """See CaptionEngine."""
        source = iter(requests)
        running: dict[Future[Result], CaptionRequest] = {}
        done: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
        num_captions = 0
        try:
            while True:
                while num_captions < self.config.max_in_flight:
                    request = next(source, None)
                    if request is None:
                        break
                    future = self._server.run(self._ask(request))
                    running[future] = request
                    num_captions += request.n
                    future.add_done_callback(done.put)
                if not running:
                    return
                try:
                    future = done.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    continue
                request = running.pop(future)
                num_captions -= request.n
                yield request.request_id, future.result()
        finally:
            for future in running:
                future.cancel()

    async def _ask(self, request: CaptionRequest) -> Result:
        """All captions of one request; servers that give fewer than n are asked one by one."""
        given = await self._choices(request)
        if isinstance(given, EngineError) or len(given) >= request.n:
            return given if isinstance(given, EngineError) else given[: request.n]
        for index in range(len(given), request.n):
            more = await self._choices(replace(request, seed=request.seed + index, n=1))
            if isinstance(more, EngineError):
                return more
            if not more:
                return EngineError(reason="engine_error", message="the server gave no choice")
            given.append(more[0])
        return given

    async def _choices(self, request: CaptionRequest) -> Result:
        trials = _Trials(self._server.client.shown_url)
        time = self._server.time
        while True:
            try:
                return await self._adapting(request)
            except ServerRefusalError as refusal:
                if not refusal.is_passing:
                    return refusal_of(refusal)
                error: Exception = refusal
            except (TimeoutError, UnfinishedAnswerError, UnreachableError, BrokenOffError) as fault:
                error = fault
            if (reason := trials.after(error)) is not None:
                return reason
            if not (isinstance(error, ServerRefusalError) and error.is_too_much):  # `pace` waits
                await time.sleep(time.jittered(trials.pause_seconds))
                trials.pause_seconds = min(2 * trials.pause_seconds, MAX_PAUSE_SECONDS)

    async def _adapting(self, request: CaptionRequest) -> Result:
        """One answer; a parameter that the server refuses is given as it wants it, from then on.

        Raises:
            ServerRefusalError: it refuses still.
        """
        for _ in range(1 + len(ADAPTATIONS)):
            names = self._adapted
            try:
                return completions_of(await self._once(request, names))
            except ServerRefusalError as refusal:
                name = refused_parameter(refusal)
                if name is None or name in names:
                    raise
                if name not in self._adapted:
                    log.warning("the server does not take %s: %s", name, ADAPTATIONS[name])
                self._adapted |= {name}
        raise AssertionError("each adaptation is made once")

    async def _once(self, request: CaptionRequest, names: frozenset[str]) -> object:
        """The server's answer to one attempt, which waits for its turn.

        Raises:
            StoppedError: see `Pace.was_too_much`.
        """
        server = self._server
        body = await asyncio.get_running_loop().run_in_executor(
            server.encoders, _encoded, request, self.config, names
        )
        async with server.pace.turn() as began:
            try:
                answer = await server.client.call(
                    "chat/completions", body, self.config.timeout_seconds
                )
            except ServerRefusalError as refusal:
                if refusal.is_too_much:
                    server.pace.was_too_much(began, refusal.retry_after)
                raise
            server.pace.went_well()
            return answer


def _encoded(request: CaptionRequest, config: EngineConfig, names: frozenset[str]) -> bytes:
    return json.dumps(adapted(body_of(request, config), names)).encode()
