"""`mama-augment caption --dry-run`: what a run will ask, and how long it will take."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from mama_augment.engines import EngineConfig, make_engine
from mama_augment.engines.base import CaptionRequest, EngineError
from mama_augment.engines.supervised import StartEngine, SupervisedEngine
from mama_augment.known import CaptionIndex, FirstOf, Known, finished
from mama_augment.schema import InputError
from mama_augment.steps.caption import CaptionRun, check_start, plan
from mama_augment.steps.caption_requests import (
    CaptionSettings,
    identify,
    prepare,
    runs,
)
from mama_augment.steps.caption_source import captions_of_unit, read_clips
from mama_augment.store import Manifest, StepDir

SAMPLE_SHARE = 0.01
MIN_SAMPLE, MAX_SAMPLE = 16, 1000


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will do. Without a sample, output tokens are the most there can be."""

    num_clips: int
    """Clips that get a caption."""
    left_out: Mapping[str, int]
    """Clips that get none, by reason."""
    num_captions: int
    num_there: int
    """Captions that are settled in the output directory, or that `--reuse` brings."""
    num_requests: int
    """All missing captions of a clip are one, unless there are some between them."""
    num_prompt_tokens: int | None
    num_output_tokens: int
    is_measured: bool
    seconds: float | None


def forecast(
    clips_uri: str,
    settings: CaptionSettings,
    engine: EngineConfig,
    *,
    out_uri: str | None = None,
    run: CaptionRun | None = None,
    tokens_per_second: float | None = None,
    with_sample: bool = False,
    start_engine: StartEngine = make_engine,
) -> Forecast:
    """Count requests and tokens; writes nothing.

    out_uri: what is there already is not counted again; None: nothing is. tokens_per_second:
    output tokens of the engine at hand. with_sample: caption 1 % of the clips (16 to 1,000) to
    measure tokens and speed.

    Raises:
        InputError: what a run would refuse.
    """
    check_speed(tokens_per_second)
    run = run or CaptionRun()
    manifest = plan(clips_uri, settings, engine.name, allow_partial=run.allow_partial)
    out = check_start(out_uri, manifest, engine, run) if out_uri is not None else None
    clips = StepDir.open(clips_uri, step="keyframes")
    num_captions = sum(manifest.units.values())
    num_rows = sum(record.data_rows for record in clips.records().values())
    num_clips = num_rows - sum(manifest.left_out.values())
    left = _count_left(clips, manifest, settings, out, run)
    num_output = left.num_captions * settings.sampling.max_tokens
    num_prompt, seconds = None, None
    if with_sample and left.num_requests:
        sample = measure(clips, settings, engine, num_clips, start_engine)
        num_output = round(left.num_captions * sample.output_tokens)
        num_prompt = round(left.num_requests * sample.prompt_tokens)
        seconds = left.num_captions / sample.captions_per_second
    if tokens_per_second is not None:
        seconds = num_output / tokens_per_second
    return Forecast(
        num_clips=num_clips,
        left_out=manifest.left_out,
        num_captions=num_captions,
        num_there=left.num_there,
        num_requests=left.num_requests,
        num_prompt_tokens=num_prompt,
        num_output_tokens=num_output,
        is_measured=with_sample and left.num_requests > 0,
        seconds=seconds,
    )


def check_speed(tokens_per_second: float | None) -> None:
    """Refuse what is no speed.

    Raises:
        InputError: zero, negative, or no number.
    """
    if tokens_per_second is not None and not 0 < tokens_per_second < math.inf:
        raise InputError(
            f"--tokens-per-second is {tokens_per_second:g}; it must be a number above 0"
        )


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a run still has to ask for; captions of broken rows are neither there nor asked for."""

    num_there: int
    num_captions: int
    num_requests: int


def _count_left(
    clips: StepDir,
    manifest: Manifest,
    settings: CaptionSettings,
    out: StepDir | None,
    run: CaptionRun,
) -> Left:
    reusable: Known = (
        CaptionIndex(StepDir.open(run.reuse_uri, step="caption")) if run.reuse_uri else {}
    )
    units = list(manifest.units)
    todo = units if out is None else out.units_to_do(retry_failed=run.retry_failed)
    num_there = sum(manifest.units[unit_id] for unit_id in set(units) - set(todo))
    num_captions = num_requests = 0
    records = clips.records()
    for unit_id in todo:
        numbers = captions_of_unit(clips, records[unit_id], settings)
        here = finished(out, unit_id) if out is not None else {}
        if not here and run.reuse_uri is None:  # no frame needs to be read
            num_captions += sum(numbers)
            num_requests += sum(number > 0 for number in numbers)
            continue
        known = FirstOf(here, reusable)
        for clip in read_clips(clips, records[unit_id], numbers, known, settings):
            keys = identify(clip, settings).keys
            missing = [index for index, key in enumerate(keys) if key not in known]
            num_there += len(keys) - len(missing)
            num_captions += len(missing)
            num_requests += sum(1 for _ in runs(missing))
    return Left(num_there=num_there, num_captions=num_captions, num_requests=num_requests)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Means over the captions of a sample; the engine's start is no part of the speed."""

    prompt_tokens: float
    output_tokens: float
    captions_per_second: float


def measure(
    clips: StepDir,
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
    supervised = SupervisedEngine(engine, start_engine)
    try:
        first = list(itertools.islice(requests, 1))
        list(supervised.generate(first))  # starts the engine
        started = time.perf_counter()
        done = []
        asked = itertools.islice(itertools.chain(first, requests), wanted)
        with closing(supervised.generate(asked)) as results:
            for _, result in results:
                if not isinstance(result, EngineError):
                    done += result
        seconds = time.perf_counter() - started
    finally:
        supervised.close()
    if not done:
        raise InputError("no clip of the sample could be captioned; see the clips' rejects")
    return Sample(
        prompt_tokens=sum(c.num_prompt_tokens or 0 for c in done) / len(done),
        output_tokens=sum(c.num_output_tokens or 0 for c in done) / len(done),
        captions_per_second=len(done) / seconds,
    )


def _sampled(clips: StepDir, settings: CaptionSettings, step: int) -> Iterator[CaptionRequest]:
    """Requests of every `step`-th clip that gets captions."""
    position = 0
    for record in clips.records().values():
        numbers = captions_of_unit(clips, record, settings)
        for row, number in enumerate(numbers):
            if number and position % step:
                numbers[row] = 0
            position += number > 0
        for clip in read_clips(clips, record, numbers, {}, settings):
            for request, _ in prepare(clip, settings).requests:
                yield request
