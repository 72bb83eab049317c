"""`mama-augment caption`: one caption or more for every clip, from a grid of its key frames."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from mama_augment.caption.config import AskConfig, CaptionRun, Replicas
from mama_augment.caption.engines import (
    AUTO,
    EngineConfig,
    ServingConfig,
    check_model,
    make_engine,
)
from mama_augment.caption.engines.supervised import StartEngine
from mama_augment.caption.journal import journal_name
from mama_augment.caption.manifest import manifest_of
from mama_augment.caption.requests import CaptionSettings
from mama_augment.caption.settle import replicas_on, settle_all
from mama_augment.caption.worker import CaptionWork, CaptionWorker
from mama_augment.core.manifest import Manifest
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.layout import JOURNAL_FOLDER
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.tally import Tally

SHARE_OF_REST = 4
"""A group is the part of what is left that each of the workers gets, divided by this."""


class Caption:
    """The step: one caption or more for every clip of a clips directory that may train."""

    name = "caption"
    noun = "captions"

    def __init__(
        self,
        clips: str | Sequence[str],
        settings: CaptionSettings,
        engine: EngineConfig,
        runtime: RuntimeConfig | None = None,
        run: CaptionRun | None = None,
        *,
        start_engine: StartEngine = make_engine,
    ) -> None:
        """clips: one clips directory or more. runtime: where it will be run; its workers take whole
        groups of units."""
        self.clips = clips
        self.settings = settings
        self.engine = engine
        self.runtime = runtime or RuntimeConfig(num_workers=1)
        self.run = run or CaptionRun()
        self.start_engine = start_engine
        self._sources: StepDirs | None = None
        """The clips directories of a run."""

    @classmethod
    def of(
        cls,
        clips: str | Sequence[str],
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
        number = runtime.num_workers
        runtime = replicas_on(runtime, gpus, Replicas(least=number, most=number))
        return cls(clips, settings, config, runtime, run)

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`.

        Raises:
            InputError: nothing to caption, an unfinished input, settings that contradict
                themselves or what the output directory holds, a model that cannot be served.
        """
        tell.phase("counting clips")
        self._sources, manifest = self.plan(out.begun())
        self.check_start(out, manifest)
        return manifest

    def plan(self, there: StepDir | None) -> tuple[StepDirs, Manifest]:
        """What there is to caption, and the manifest of that; writes nothing.

        there: what an earlier run began.

        Raises:
            InputError: see `manifest`.
        """
        before = there.manifest if there is not None and there.step == self.name else None
        known = before.sources if before is not None else ()
        sources = StepDirs.open(self.clips, step="keyframes", known=known)
        return sources, manifest_of(
            sources,
            self.settings,
            self.engine.name,
            before,
            allow_partial=self.run.allow_partial,
        )

    def files(self) -> Mapping[str, bytes]:
        """The manifest names nothing."""
        return {}

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
            check_model(self.engine, self.settings.sampling)
        return existing

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if todo:  # also what is only tried again
            check_model(self.engine, self.settings.sampling)
        remove_journals(directory, keep=todo)
        groups = group_units(todo, self.runtime)
        assert self._sources is not None, "the manifest comes first"
        wanted = set(todo)
        reuse_uri = self.run.reuse_uri
        work = CaptionWork(
            sources={name: unit for name, unit in self._sources.named_units() if name in wanted},
            out=directory.for_workers(todo),
            settings=self.settings,
            engine=self.engine,
            start_engine=self.start_engine,
            groups=groups,
            reuse=StepDir.open(reuse_uri, step="caption") if reuse_uri is not None else None,
        )
        make_worker = functools.partial(CaptionWorker, work, Tally(advance))
        yield Stage(unit_ids=list(groups), make_worker=make_worker, counts_alone=True)

    def finish(self, directory: StepDir) -> None:
        """What was kept of open units goes, once none is."""
        now = StepDir.open(directory.folder.absolute)  # another share may have given it more to do
        done = now.records()
        if len(done) == len(now.manifest.units) and not any(r.num_failed for r in done.values()):
            for name in directory.folder.sizes_bytes(JOURNAL_FOLDER):
                directory.folder.delete(name)

    def close(self) -> None:
        """Nothing is held."""


def group_units(todo: Sequence[str], runtime: RuntimeConfig) -> dict[str, list[str]]:
    """Consecutive units that a worker captions as one stream.

    One worker takes all. Several get groups that shrink towards the end: large ones first, so that
    an engine seldom runs dry between two, and single units last, so that nobody waits long for the
    slowest.
    """
    if runtime.runtime == "local" and runtime.num_workers == 1:
        return {f"{todo[0]}-{todo[-1]}": list(todo)} if todo else {}
    groups, start = {}, 0
    while start < len(todo):
        size = max(1, (len(todo) - start) // (SHARE_OF_REST * runtime.num_workers))
        group = list(todo[start : start + size])
        groups[f"{group[0]}-{group[-1]}"] = group
        start += size
    return groups


def remove_journals(out: StepDir, keep: Sequence[str]) -> None:
    """Delete the journals of committed units, left where a kill fell between the two; not of those
    with failures, which another share may be trying again."""
    kept = set(map(journal_name, keep))
    done = {journal_name(u) for u, record in out.records().items() if not record.num_failed}
    for name in out.sizes:
        if name in done and name not in kept:
            out.folder.delete(name)
