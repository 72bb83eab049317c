"""Captions a clips directory in a process of its own, which a test may kill at any moment.

    python -m tests.augment.caption_child CLIPS OUT LOG MODEL

MODEL is a directory (transformers, greedy, one by one) or `scripted`. Every caption that the
engine begins is a line of LOG.
"""  # fmt: skip

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import CaptionEngine, CaptionRequest, Result, SamplingConfig
from mama_augment.caption.input.layout import GridLayout, PictureSize
from mama_augment.caption.input.prompts import resolve
from mama_augment.caption.requests import CaptionSettings
from mama_augment.runtime import RuntimeConfig
from tests.augment.scripted_engine import Script, ScriptedEngine
from tests.augment.steps import CaptionRun, open_job, run_caption


class Noting:
    """An engine that notes what it begins."""

    def __init__(self, engine: CaptionEngine, log: Path) -> None:
        self.engine = engine
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def close(self) -> None:
        self.engine.close()

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        for request in requests:  # one at a time: what is noted is in flight
            os.write(self.log, f"{request.request_id}\n".encode())
            yield from self.engine.generate([request])


def start(config: EngineConfig, *, log: Path, model: str) -> Any:
    if model == "scripted":
        return ScriptedEngine(config, Script(log=log))
    return Noting(make_engine(config), log)


def run(clips: str, out: str, log: Path, model: str) -> int:
    settings = CaptionSettings(
        model="child",
        model_revision="1",
        size=PictureSize(width_px=48, height_px=48),
        prompt=resolve("process"),
        grid=GridLayout(rows=2, columns=2),
        sampling=SamplingConfig(temperature=0, max_tokens=8),
    )
    engine = EngineConfig(name="transformers", model=model, batch_size=1, max_in_flight=3)
    start_engine = functools.partial(start, log=log, model=model)
    job = open_job(
        clips, out, settings, engine, RuntimeConfig(num_workers=1), CaptionRun(), start_engine
    )
    return 0 if run_caption(job).is_well else 1  # so few tokens are cut short, all of them


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
