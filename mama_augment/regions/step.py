"""The step `regions`: clips in, one row of boxes and vectors per clip out.

A unit is one of the clips' units. Frames are decoded for it, in a process that can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.records import NOTHING
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir
from mama_augment.regions.config import GRID, PIXELS, STEP, TRUTH, RegionsConfig
from mama_augment.regions.worker import RegionsWorker


class RegionsStep:
    """The step: regions of every clip of one clips directory or more."""

    name = STEP
    noun = "clips"

    def __init__(self, clips: str | Sequence[str], config: RegionsConfig | None = None) -> None:
        self.clips = clips
        self.config = config or RegionsConfig()
        self._sources: StepDirs | None = None

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`.

        Raises:
            InputError: the clips are unfinished, or lack what the model needs.
        """
        tell.phase("counting clips")
        there = out.begun()
        before = there.manifest if there is not None and there.step == self.name else None
        sources = StepDirs.open(
            self.clips, step="keyframes", known=before.sources if before is not None else ()
        )
        for step_dir in sources.dirs:
            step_dir.check_finished()
        self._sources = sources
        self._check_columns(sources)
        records = {u: r for u, r in sources.records().items() if r.num_rows}
        if not records:
            raise InputError(f"{sources.uri!r} holds no clips")
        known = before.units if before is not None else {}
        counts = {unit_id: record.num_rows for unit_id, record in records.items()}
        # Those of before come first, whichever directory has grown.
        units = {unit_id: counts.get(unit_id, num) for unit_id, num in known.items()} | counts
        digests = dict(before.digests) if before is not None else {}
        digests |= {unit_id: r.data_digest or NOTHING for unit_id, r in records.items()}
        generations = list(before.generations) if before is not None else []
        if num_new := len(units) - len(known):
            generations.append({"num_units": num_new})
        is_made = self.config.model in (GRID, TRUTH) and self.config.vectors == PIXELS
        packages = ("av", "numpy", "pyarrow", *(() if is_made else ("torch", "transformers")))
        return Manifest(
            step=STEP,
            config=self.config.manifest_config(),
            input_fingerprint=sources.input_fingerprint(),
            units=units,
            versions=versions(*packages),
            digests={unit_id: digests[unit_id] for unit_id in units},
            grows=True,
            generations=generations,
            sources=sources.sources,
        )

    def _check_columns(self, sources: StepDirs) -> None:
        first = next(sources.units(), None)
        is_there = first is None or "true_regions" in first.schema().names
        if self.config.model == TRUTH and not is_there:
            raise InputError(
                f"--model truth, but {sources.uri!r} has no column true_regions; that is of "
                "made worlds (`mama-augment shapes --kind questions`), or of your manifest"
            )

    def files(self) -> Mapping[str, bytes]:
        """The manifest names nothing."""
        return {}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if not todo:
            return
        assert self._sources is not None, "the manifest comes first"
        wanted = set(todo)
        sources = {name: unit for name, unit in self._sources.named_units() if name in wanted}
        worker = partial(RegionsWorker, directory.for_workers(todo), sources, self.config)
        yield Stage(unit_ids=todo, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        """Nothing stands beside the units."""

    def close(self) -> None:
        """Nothing is held."""
