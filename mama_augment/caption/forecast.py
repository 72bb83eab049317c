"""`mama-augment caption --dry-run`: what a run will ask, and how long it will take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mama_augment.caption.engines import ENGINES
from mama_augment.caption.engines.base import Completion
from mama_augment.caption.journal import open_journal
from mama_augment.caption.known import CaptionIndex, FirstOf, Known, finished_captions
from mama_augment.caption.requests import identify, runs
from mama_augment.caption.sample import measure
from mama_augment.caption.source import captions_of_unit, read_clips
from mama_augment.caption.step import Caption
from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest
from mama_augment.core.step import Output
from mama_augment.core.store.several import StepDirs
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
    step: Caption,
    out: Output[StepDir] | None = None,
    *,
    retry_failed: bool = False,
    tokens_per_second: float | None = None,
    with_sample: bool = False,
) -> Forecast:
    """Count the requests and tokens of a run; writes nothing.

    out: what is there already is not counted again; None: nothing is. tokens_per_second: output
    tokens of one engine. with_sample: caption 1 % of the clips (16 to 1,000) on one engine to
    measure tokens and speed.

    Raises:
        InputError: what a run would refuse.
    """
    check_speed(tokens_per_second)
    settings, engine = step.settings, step.engine
    clips, manifest = step.plan(None if out is None else out.begun())
    there = None if out is None else step.check_start(out, manifest, retry_failed=retry_failed)
    num_captions = sum(manifest.units.values())
    num_rows = sum(unit.num_rows for unit in clips.units())
    num_clips = num_rows - sum(manifest.left_out.values())
    if there is not None:
        there = StepDir(there.folder, manifest)  # as a run will find it, its input grown
    todo = list(manifest.units) if there is None else there.units_to_do(retry_failed=retry_failed)
    left = _count_left(clips, manifest, step, there, todo)
    num_output = left.num_captions * settings.sampling.max_tokens
    kind = ENGINES[engine.name]
    num_prefills = left.num_requests if kind.shares_prefill else left.num_captions
    num_prompt, seconds, is_measured = None, None, False
    if with_sample and left.num_requests:
        sample = measure(clips, settings, engine, num_clips, step.start_engine)
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
        num_engines=num_engines(step, left.num_units),
    )


def check_speed(tokens_per_second: float | None) -> None:
    """Refuse what is not a speed.

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


def num_engines(step: Caption, num_units: int) -> int:
    """Engines side by side; a server is one, whoever asks it."""
    is_server = ENGINES[step.engine.name].is_server
    return 1 if is_server else max(1, min(step.runtime.num_workers, num_units))


def _count_left(
    clips: StepDirs, manifest: Manifest, step: Caption, out: StepDir | None, todo: Sequence[str]
) -> Left:
    settings, reuse_uri = step.settings, step.run.reuse_uri
    reusable: Known = CaptionIndex(StepDir.open(reuse_uri, step="caption")) if reuse_uri else {}
    num_there = sum(manifest.units[unit_id] for unit_id in set(manifest.units) - set(todo))
    num_captions = num_requests = 0
    units = dict(clips.named_units())
    journal = open_journal(out.folder) if out is not None else None
    for unit_id in todo:
        if (unit := units.get(unit_id)) is None:
            continue
        here: Mapping[str, Completion] = {}
        if out is not None and journal is not None:
            here = finished_captions(out, unit_id, journal)
        if not here and reuse_uri is None and settings.plan is None:  # nothing needs to be read
            num_captions += manifest.units[unit_id]
            num_requests += manifest.units[unit_id] // settings.num_captions
            continue
        numbers = captions_of_unit(unit, settings)
        if not here and reuse_uri is None:  # no frame needs to be read
            num_captions += sum(numbers)
            num_requests += sum(number > 0 for number in numbers)
            continue
        known = FirstOf(dict(here), reusable)
        for clip in read_clips(unit, numbers, known, settings):
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
