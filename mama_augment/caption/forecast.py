"""`mama-augment caption --dry-run`: what a run will ask, and how long it will take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mama_augment.caption.engines import ENGINES, EngineConfig, make_engine
from mama_augment.caption.engines.supervised import StartEngine
from mama_augment.caption.known import CaptionIndex, FirstOf, Known, finished_captions
from mama_augment.caption.requests import CaptionSettings, identify, runs
from mama_augment.caption.sample import measure
from mama_augment.caption.source import captions_of_unit, read_clips
from mama_augment.caption.step import CaptionRun, check_start, plan
from mama_augment.core.errors import InputError
from mama_augment.core.store.records import Manifest
from mama_augment.core.store.step_dir import StepDir


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
    num_prefills: int
    """Prompts that the engine reads; one for each caption where it shares none."""
    num_prompt_tokens: int | None
    num_output_tokens: int
    is_measured: bool
    """Whether output tokens are those of a sample."""
    engine_seconds: float | None
    """Time of all engines together."""
    is_time_measured: bool
    """False: it is the most there can be."""
    num_engines: int
    """How many share it."""


def forecast(
    clips_uri: str,
    settings: CaptionSettings,
    engine: EngineConfig,
    *,
    out_uri: str | None = None,
    num_engines: int = 1,
    run: CaptionRun | None = None,
    tokens_per_second: float | None = None,
    with_sample: bool = False,
    start_engine: StartEngine = make_engine,
) -> Forecast:
    """Count requests and tokens; writes nothing.

    out_uri: what is there already is not counted again; None: nothing is. num_engines: engines
    side by side; a server is one, whoever asks it. tokens_per_second: output tokens of one engine.
    with_sample: caption 1 % of the clips (16 to 1,000) on one engine to measure tokens and speed.

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
    kind = ENGINES[engine.name]
    num_prefills = left.num_requests if kind.shares_prefill else left.num_captions
    num_prompt, seconds, is_measured = None, None, False
    if with_sample and left.num_requests:
        sample = measure(clips, settings, engine, num_clips, start_engine)
        if sample.output_tokens is not None:
            num_output = round(left.num_captions * sample.output_tokens)
            is_measured = True
        if sample.prompt_tokens is not None:
            num_prompt = round(num_prefills * sample.prompt_tokens)
        seconds = left.num_captions / sample.captions_per_second
    if tokens_per_second is not None:
        seconds = num_output / tokens_per_second
    return Forecast(
        num_clips=num_clips,
        left_out=manifest.left_out,
        num_captions=num_captions,
        num_there=left.num_there,
        num_requests=left.num_requests,
        num_prefills=num_prefills,
        num_prompt_tokens=num_prompt,
        num_output_tokens=num_output,
        is_measured=is_measured,
        engine_seconds=seconds,
        is_time_measured=is_measured or (with_sample and tokens_per_second is None),
        num_engines=1 if kind.is_server else max(1, min(num_engines, left.num_units)),
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
    num_units: int
    """Engines side by side take whole units."""


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
        here = finished_captions(out, unit_id) if out is not None else {}
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
    return Left(
        num_there=num_there,
        num_captions=num_captions,
        num_requests=num_requests,
        num_units=len(todo),
    )
