"""A caption engine that says what the picture is, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import (
    CaptionRequest,
    Completion,
    EngineDiedError,
    EngineError,
    Result,
)


@dataclass(kw_only=True)
class Script:
    """What goes wrong: by request id. `asked` lists every request that was begun."""

    log: Path | None = None
    """A file to note each begun request in; it outlives this process."""
    fails: frozenset[str] = frozenset()
    kills: frozenset[str] = frozenset()
    dies_above: int = 10**9
    """More than this many at once kill the engine."""
    asked: list[str] = field(default_factory=list)
    num_starts: int = 0

    def start(self, config: EngineConfig) -> ScriptedEngine:
        self.num_starts += 1
        return ScriptedEngine(config, self)


class ScriptedEngine:
    def __init__(self, config: EngineConfig, script: Script) -> None:
        self.config = config
        self.script = script

    def close(self) -> None:
        pass

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        batch: list[CaptionRequest] = []
        for request in requests:
            batch.append(request)
            if len(batch) == self.config.max_in_flight:
                yield from self._answer(batch)
                batch = []
        yield from self._answer(batch)

    def _answer(self, batch: list[CaptionRequest]) -> Generator[tuple[str, Result], None, None]:
        for request in batch:
            self.script.asked.append(request.request_id)
            if self.script.log is not None:
                with self.script.log.open("a") as stream:
                    stream.write(f"{request.request_id}\n")
                    os.fsync(stream.fileno())
        if len(batch) > self.script.dies_above or self.script.kills & {r.request_id for r in batch}:
            raise EngineDiedError("killed by the script")
        for request in reversed(batch):  # results come in no particular order
            yield request.request_id, self._result(request)

    def _result(self, request: CaptionRequest) -> Result:
        if request.request_id in self.script.fails:
            return EngineError(reason="engine_error", message="scripted")
        return [completion(request, request.seed + i) for i in range(request.n)]


def completion(request: CaptionRequest, seed: int) -> Completion:
    pixels = b"".join(image.tobytes() for image in request.shown.images)
    content = pixels + f"{request.prompt}|{seed}".encode()
    digest = hashlib.sha256(content).hexdigest()
    words = " ".join(digest[i : i + 4] for i in range(0, 20, 4))
    return Completion(
        text=f"The image shows x{words}.",
        num_prompt_tokens=20,
        num_output_tokens=7,
        finish_reason="stop",
    )


def start_plain(config: EngineConfig) -> ScriptedEngine:
    """A start for workers elsewhere: picklable, nothing goes wrong."""
    return ScriptedEngine(config, Script())
