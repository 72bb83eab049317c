"""`mama-augment features`: a vector for every key frame and every clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mama_augment.core.ledger import Reject
from mama_augment.core.manifest import Manifest
from mama_augment.core.shared.jpeg import BrokenFrameError, decode_jpeg
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir
from mama_augment.features.inputs import manifest_of, open_clips
from mama_augment.features.models import EncoderModel
from mama_augment.features.vectors import features_table

if TYPE_CHECKING:
    from mama_augment.features.encoder import Encoder

STEP = "features"
COLUMNS = ["clip_id", "frames", "frame_seconds"]


class Features:
    """The step: clips in, vectors out; a unit for each of the clips' units."""

    name = STEP
    noun = "clips"

    def __init__(self, clips: str | Sequence[str], encoder: EncoderModel) -> None:
        """clips: one clips directory or more."""
        self._clips = clips
        self._encoder = encoder
        self._sources: StepDirs | None = None

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`.

        Raises:
            InputError: the clips are unfinished, or others than before.
        """
        tell.phase("counting clips")
        there = out.begun()
        self._sources = open_clips(self._clips, there, STEP)
        records = self._sources.records()
        sizes = {unit_id: record.num_rows for unit_id, record in records.items()}
        config = self._encoder.fields()
        return manifest_of(STEP, config, records, sizes, self._sources.sources, there)

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
        worker = partial(
            FeaturesWorker,
            sources={name: unit for name, unit in self._sources.named_units() if name in wanted},
            out=directory.for_workers(todo),
            model=self._encoder,
        )
        yield Stage(unit_ids=todo, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        """Nothing stands beside the units."""

    def close(self) -> None:
        """Nothing is held."""


@dataclass(kw_only=True)
class FeaturesWorker:
    """Makes and commits units; the model is loaded for the first one."""

    sources: Mapping[str, CommittedUnit]
    out: StepDir
    model: EncoderModel

    @cached_property
    def _encoder(self) -> Encoder:
        from mama_augment.features.encoder import Encoder

        return Encoder(self.model)

    def run_unit(self, unit_id: str) -> int:
        rows: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        source = self.sources.get(unit_id)
        for _, table in source.row_groups(COLUMNS) if source is not None else ():
            for clip in table.to_pylist():
                try:
                    rows.append(self._row(clip))
                except BrokenFrameError as error:
                    reason = "broken_frame" if clip["frames"] else "no_frames"
                    rejects.append(Reject.of(STEP, reason, id=clip["clip_id"], message=str(error)))
        table = features_table(rows) if rows else None
        return self.out.commit(unit_id, table, rejects).num_in

    def _row(self, clip: Mapping[str, Any]) -> dict[str, Any]:
        """
        Raises:
            BrokenFrameError: a frame does not decode, or there is none.
        """
        if not clip["frames"]:
            raise BrokenFrameError("no key frames")
        frames = [decode_jpeg(data) for data in clip["frames"]]
        vectors_TD, vector_D = self._encoder.clip(frames)
        return {
            "clip_id": clip["clip_id"],
            "frame_seconds": clip["frame_seconds"],
            "frame_vectors": vectors_TD.astype(np.float16),
            "vector": vector_D.astype(np.float16),
        }

    def close(self) -> None:
        """The model goes with the worker."""
