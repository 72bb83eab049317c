"""A few captions to measure by: how long they get, and how fast they come."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.base import CaptionRequest, Completion, EngineError
from mama_augment.caption.engines.supervised import StartEngine, SupervisedEngine
from mama_augment.caption.requests import CaptionSettings, prepare
from mama_augment.caption.source import captions_of_unit, read_clips
from mama_augment.core.errors import InputError
from mama_augment.core.store.several import StepDirs

SAMPLE_SHARE = 0.01
MIN_SAMPLE, MAX_SAMPLE = 16, 1000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Means over the captions of a sample; the engine's start is no part of the speed."""

    prompt_tokens: float | None
    """Of one request; None where the engine does not tell."""
    output_tokens: float | None
    """Of one caption, as well."""
    captions_per_second: float


def measure(
    clips: StepDirs,
    settings: CaptionSettings,
    engine: EngineConfig,
    num_clips: int,
    start_engine: StartEngine = make_engine,
) -> Sample:
    """Caption a hundredth of the clips, evenly spread, and keep nothing.

    Raises:
        InputError: not one clip of the sample could be captioned.
    """
    wanted = min(num_clips, max(MIN_SAMPLE, min(MAX_SAMPLE, int(num_clips * SAMPLE_SHARE))))
    requests = _sampled(clips, settings, max(1, num_clips // wanted))
    kept: list[CaptionRequest] = []
    supervised = SupervisedEngine(engine, start_engine)
    try:
        first = list(itertools.islice(requests, 1))
        list(supervised.generate(first))  # starts the engine
        started = time.perf_counter()
        asked = itertools.islice(itertools.chain(first, requests), wanted)
        done = _captions(supervised, _keeping(asked, kept))
        seconds = time.perf_counter() - started
        outputs = [c.num_output_tokens for c in done]
        if None in outputs:  # servers give the sum over n captions only
            alone = [replace(request, n=1) for request in kept]
            outputs += [c.num_output_tokens for c in _captions(supervised, alone)]
    finally:
        supervised.close()
    if not done:
        raise InputError("no clip of the sample could be captioned; see the clips' rejects")
    return Sample(
        prompt_tokens=_mean([c.num_prompt_tokens for c in done]),
        output_tokens=_mean(outputs),
        captions_per_second=len(done) / seconds,
    )


def _captions(engine: SupervisedEngine, requests: Iterable[CaptionRequest]) -> list[Completion]:
    """What an engine says to requests, in any order; without those that fail."""
    with closing(engine.generate(requests)) as results:
        return [c for _, result in results if not isinstance(result, EngineError) for c in result]


def _keeping(
    requests: Iterable[CaptionRequest], kept: list[CaptionRequest]
) -> Iterator[CaptionRequest]:
    """The same requests; the first `MIN_SAMPLE` of several captions stay in `kept`."""
    for request in requests:
        if request.n > 1 and len(kept) < MIN_SAMPLE:
            kept.append(request)
        yield request


def _mean(numbers: Sequence[int | None]) -> float | None:
    """Over what is told; None when nothing is."""
    told = [number for number in numbers if number is not None]
    return sum(told) / len(told) if told else None


def _sampled(clips: StepDirs, settings: CaptionSettings, step: int) -> Iterator[CaptionRequest]:
    """Requests of every `step`-th clip that gets captions."""
    position = 0
    for unit in clips.units():
        numbers = captions_of_unit(unit, settings)
        for row, number in enumerate(numbers):
            if number and position % step:
                numbers[row] = 0
            position += number > 0
        for clip in read_clips(unit, numbers, {}, settings):
            for request, _ in prepare(clip, settings).requests:
                yield request
