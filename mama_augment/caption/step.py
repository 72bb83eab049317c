"""`mama-augment caption`: one caption or more for every clip, from a grid of its key frames."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mama_augment.budget.plan_file import both_given, check_temperature
from mama_augment.caption.config import AskConfig, CaptionRun
from mama_augment.caption.engines import (
    AUTO,
    ENGINES,
    EngineConfig,
    ServingConfig,
    check_model,
    make_engine,
)
from mama_augment.caption.engines.supervised import StartEngine
from mama_augment.caption.input.prompts import check_columns
from mama_augment.caption.requests import CaptionSettings
from mama_augment.caption.settle import replicas_on, settle_all
from mama_augment.caption.source import Counted, count_captions
from mama_augment.caption.worker import CaptionWork, CaptionWorker
from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.schema import HELD_OUT
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.layout import JOURNAL_FOLDER
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig

MAX_GROUPS_PER_WORKER = 4


class Caption:
    """The step: one caption or more for every clip of a clips directory that may train."""

    name = "caption"
    noun = "captions"

    def __init__(
        self,
        clips_uri: str,
        settings: CaptionSettings,
        engine: EngineConfig,
        runtime: RuntimeConfig | None = None,
        run: CaptionRun | None = None,
        *,
        start_engine: StartEngine = make_engine,
    ) -> None:
        """runtime: where it will be run; its workers take whole groups of units."""
        self.clips_uri = clips_uri
        self.settings = settings
        self.engine = engine
        self.runtime = runtime or RuntimeConfig(num_workers=1)
        self.run = run or CaptionRun()
        self.start_engine = start_engine

    @classmethod
    def of(
        cls,
        clips: str,
        ask: AskConfig | None = None,
        *,
        engine: str = AUTO,
        serving: ServingConfig | None = None,
        runtime: RuntimeConfig | None = None,
        run: CaptionRun | None = None,
    ) -> Caption:
        """The step that the command's options describe.

        runtime: by default one engine here, with the GPUs that `serving.tensor_parallel` needs,
        where there are any; its workers are engines, each of which holds the model.

        Raises:
            InputError: an option names something that is not there, or contradicts another.
        """
        runtime = runtime or RuntimeConfig(num_workers=1)
        asked = ask or AskConfig()
        settings, config, gpus = settle_all(asked, serving or ServingConfig(), engine=engine)
        runtime = replicas_on(runtime, gpus, runtime.num_workers)
        return cls(clips, settings, config, runtime, run)

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`.

        Raises:
            InputError: nothing to caption, an unfinished input, settings that contradict
                themselves or what the output directory holds, a model that cannot be served.
        """
        tell.phase("counting clips")
        manifest = manifest_of(
            self.clips_uri, self.settings, self.engine.name, allow_partial=self.run.allow_partial
        )
        self.check_start(out, manifest)
        return manifest

    def check_start(
        self, out: Output[StepDir], manifest: Manifest, *, retry_failed: bool = False
    ) -> StepDir | None:
        """The captions directory that a run continues; None where it starts one. Writes nothing.

        Raises:
            InputError: what is there, what is to be reused, or the model does not fit.
        """
        if self.run.reuse_uri is not None:
            StepDir.open(self.run.reuse_uri, step="caption")
        existing = out.to_resume(manifest)
        if existing is None or existing.units_to_do(retry_failed=retry_failed):
            check_model(self.engine)
        return existing

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if todo:  # also what is only tried again
            check_model(self.engine)
        remove_journals(directory, keep=todo)
        groups = group_units(todo, self.runtime)
        in_process = self.runtime.is_in_process
        work = CaptionWork(
            clips_uri=self.clips_uri,
            out_uri=directory.folder.uri,
            settings=self.settings,
            engine=self.engine,
            start_engine=self.start_engine,
            groups=groups,
            reuse_uri=self.run.reuse_uri,
        )
        # Elsewhere the callback cannot follow; there whole groups are counted.
        on_caption = functools.partial(advance, 1) if in_process else None
        make_worker = functools.partial(CaptionWorker, work, on_caption)
        yield Stage(unit_ids=list(groups), make_worker=make_worker, counts_alone=in_process)

    def finish(self, directory: StepDir) -> None:
        """Nothing stands beside the units."""

    def close(self) -> None:
        """Nothing is held."""


def manifest_of(
    clips_uri: str, settings: CaptionSettings, engine_name: str, *, allow_partial: bool = False
) -> Manifest:
    """The manifest of a run, checked against its input; writes nothing.

    Raises:
        InputError: see `Caption.manifest`.
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
        names = next(clips.units()).metadata().schema.to_arrow_schema().names
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
    for package in ENGINES[engine_name].packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # it is packaged under several names
    return found
