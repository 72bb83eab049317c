"""The step `balance`: clips and captions in, concept-balanced training shards out.

Everything is decided anew on every run, from the input, the config and the seed alone; a resumed
run writes only the shards that are missing.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mama_augment.balance import shards
from mama_augment.balance.config import BalanceStep
from mama_augment.balance.decide import Decisions, decide
from mama_augment.balance.source.beside import Beside
from mama_augment.balance.source.frames import Regions
from mama_augment.balance.source.inputs import Inputs
from mama_augment.balance.stats import write_sidecars
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.shares import Share
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.files import Folder
from mama_augment.core.store.same import check_same
from mama_augment.core.store.sidecars import CONCEPTS_NAME, STATS_NAME
from mama_augment.core.store.step_dir import StepDir

STEP = "balance"
SCRATCH = ".scratch"


class Balance:
    """The step: texts of clips and captions in, shards with splits out."""

    name = STEP
    noun = "texts"

    def __init__(
        self,
        clips: str | Sequence[str],
        captions: Sequence[str] = (),
        config: BalanceStep | None = None,
    ) -> None:
        """clips: one clips directory or more."""
        self._open = partial(Inputs.open, clips, captions)
        self.config = config or BalanceStep()
        self._scratch: Path | None = None
        self._share: Share | None = None
        self._regions: Regions | None = None
        self._decided: Decisions | None = None
        """None where the output is complete, and nothing needs to be decided."""

    @classmethod
    def of(cls, directories: Sequence[str], config: BalanceStep | None = None) -> Balance:
        """The step that reads outputs of `keyframes` and of `caption` given in any order."""
        step = cls((), (), config)
        step._open = partial(Inputs.sort, directories)
        return step

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`; decides about every text, in scratch files.

        Raises:
            InputError: an input step is unfinished, or `out` holds something else.
        """
        self._decided = None
        tell.phase("reading")
        inputs = self._open()
        inputs.check_finished()
        source = inputs.fingerprint()
        config = self.config.manifest_config()
        beside = Beside.open(self.config, out.uri)
        config |= beside.fingerprints()
        if (done := _already_done(out, config, source)) is not None:
            return done.manifest
        self._share = out.share
        self._scratch = _make_scratch(out.uri, out.share)
        self._decided = decide(inputs, self.config, self._scratch, tell.phase, beside)
        if beside.regions is not None:
            tell.phase("reading regions")
            found = Regions.gathered(beside.regions, self._scratch, self.config.balance.seed)
            self._regions = found
            if (lacking := self._decided.frames.num_rows - found.num_rows) > 0:
                self._decided.stats.warnings.append(
                    f"{lacking:,} clips have no regions in {self.config.regions!r}; those in "
                    "the shards cannot be trained on by a model of regions"
                )
        return Manifest(
            step=STEP,
            config=config,
            input_fingerprint=source,
            units=self._decided.units,
            versions=versions("ahocorasick-rs", "numpy", "pyarrow", "scikit-learn"),
        )

    def files(self) -> Mapping[str, bytes]:
        """The manifest names nothing."""
        return {}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if not todo:
            return
        assert self._decided is not None and self._scratch is not None  # noqa: PT018
        if self._share is None:  # else another share may have written it, and reads it now
            directory.folder.delete(STATS_NAME)
        worker = partial(
            shards.ShardWorker,
            out=directory.for_workers(todo),
            scratch=self._scratch,
            frames=self._decided.frames,
            with_agreement=self.config.scores is not None,
            regions=self._regions,
            with_videos=self._decided.shares_videos,
        )
        yield Stage(unit_ids=todo, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        """The assigner, to be used again, and what the report and the trainer read."""
        if self._decided is not None:
            self._decided.assigner.save(directory.folder.child("concept_model"))
            write_sidecars(directory.folder, self._decided.stats)

    def close(self) -> None:
        """The scratch files go, however the run ended."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _already_done(out: Output[StepDir], config: dict[str, Any], source: str) -> StepDir | None:
    """The output when it is complete; None when there is work to do.

    Raises:
        InputError: `out` holds another step, config or input; said before any work is done.
    """
    if (existing := out.begun()) is None:
        return None
    wanted = dataclasses.replace(
        existing.manifest, step=STEP, config=config, input_fingerprint=source
    )
    check_same(existing.manifest, wanted, out.uri)
    sidecars = all(existing.folder.exists(name) for name in (CONCEPTS_NAME, STATS_NAME))
    return existing if sidecars and not existing.units_to_do() else None


def _make_scratch(out: str, share: Share | None) -> Path:
    """An empty folder for the passes' files: inside a local output, else a temporary one."""
    folder = Folder(out)
    if not folder.is_local:
        return Path(tempfile.mkdtemp(prefix="mama-augment-"))
    name = SCRATCH if share is None else f"{SCRATCH}-{share.index}-of-{share.num}"
    scratch = Path(folder.path(name))
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch
