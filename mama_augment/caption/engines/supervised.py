"""An engine that survives its own death: restarted, what was in flight asked again.

Which request killed the engine cannot be seen from outside. After a death everything that was in
flight is asked again in small groups; a group that kills it again, one by one; and the request
that kills it alone fails, by itself. When none does, that was an accident; the second time the
load is held to be too much (memory), and halved.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import (
    CaptionEngine,
    CaptionRequest,
    EngineDiedError,
    EngineError,
    Result,
)

log = logging.getLogger(__name__)

StartEngine = Callable[[EngineConfig], CaptionEngine]

GROUP = 8
"""Suspects that are tried together before they are tried alone."""
MAX_BARREN_RESTARTS = 3
"""Restarts in a row without one finished request in between; then the run stops."""


class SupervisedEngine:
    """A CaptionEngine around another; starts it on first use, and again when it dies."""

    def __init__(self, config: EngineConfig, start: StartEngine = make_engine) -> None:
        self.config = config
        self._start = start
        self._engine: CaptionEngine | None = None
        self._num_barren = 0
        self._num_unexplained = 0

    def close(self) -> None:
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.close()

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        """See CaptionEngine.

        Raises:
            EngineDiedError: it keeps dying before it finishes anything.
        """
        source = iter(requests)
        while True:
            suspects: list[CaptionRequest] = []
            yield from self._try(source, suspects)
            if not suspects:
                return
            num_culprits = yield from self._retry(suspects, GROUP)
            self._num_unexplained += not num_culprits
            if not num_culprits and self._num_unexplained > 1:
                self._halve()

    def _try(
        self, source: Iterator[CaptionRequest], suspects: list[CaptionRequest]
    ) -> Iterator[tuple[str, Result]]:
        """Generate until `source` ends or the engine dies; then `suspects` holds what was asked."""
        asked: dict[str, CaptionRequest] = {}

        def noted() -> Iterator[CaptionRequest]:
            for request in source:
                asked[request.request_id] = request
                yield request

        try:
            if self._engine is None:
                self._engine = self._start(self.config)
            for request_id, result in self._engine.generate(noted()):
                del asked[request_id]
                self._num_barren = 0
                yield request_id, result
        except EngineDiedError as error:
            self._num_barren += 1
            if self._num_barren > MAX_BARREN_RESTARTS:
                raise EngineDiedError(
                    f"the engine died {self._num_barren} times in a row without finishing a "
                    f"caption; the last time: {error}"
                ) from error
            log.warning("the engine died with %d requests in flight: %s", len(asked), error)
            self._discard()
            suspects.extend(asked.values())
            if not asked:  # it died idle or on its start: nothing to blame, go on
                yield from self._try(source, suspects)

    def _retry(
        self, suspects: Sequence[CaptionRequest], group: int
    ) -> Generator[tuple[str, Result], None, int]:
        """Ask again, `group` at a time; returns how many killed the engine alone."""
        num_culprits = 0
        for start in range(0, len(suspects), group):
            still: list[CaptionRequest] = []
            yield from self._try(iter(suspects[start : start + group]), still)
            if still and group > 1:
                num_culprits += yield from self._retry(still, 1)
            elif still:
                num_culprits += 1
                self._num_barren = 0  # the reason is known
                message = "the engine died twice while it worked on this request"
                yield (
                    still[0].request_id,
                    EngineError(reason="engine_death", message=message),
                )
        return num_culprits

    def _halve(self) -> None:
        """Less at once from here on."""
        self.close()
        self.config = dataclasses.replace(
            self.config,
            batch_size=max(1, self.config.batch_size // 2),
            max_in_flight=max(1, self.config.max_in_flight // 2),
        )
        log.warning("no single request kills the engine; going on with half as many at once")

    def _discard(self) -> None:
        """Let go of a dead engine; what its farewell says does not matter any more."""
        try:
            self.close()
        except (RuntimeError, OSError) as error:
            log.warning("closing the dead engine: %s", error)
