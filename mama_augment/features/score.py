"""`mama-augment score`: how well each text agrees with its clip, by vectors of one space.

agreement = cos(text, clip). consistency = the mean cosine of a caption with the other captions
that the same model wrote for the clip. A unit is one of the clips' (texts that came with them) or
one of a captions directory's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Reject
from mama_augment.core.manifest import Manifest
from mama_augment.core.schema import GENERATED_PREFIX, SCORES
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.records import UnitRecord
from mama_augment.core.store.several import name_of
from mama_augment.core.store.step_dir import StepDir
from mama_augment.features.inputs import manifest_of, open_clips
from mama_augment.features.models import EncoderModel
from mama_augment.features.vectors import Vectors

if TYPE_CHECKING:
    from mama_augment.features.encoder import Encoder

STEP = "score"
GIVEN = "given-"


class Score:
    """The step: texts of clips and captions in, a score for each out."""

    name = STEP
    noun = "texts"

    def __init__(
        self,
        clips: str | Sequence[str],
        captions: Sequence[str],
        features: str,
        encoder: EncoderModel,
    ) -> None:
        self._clips, self._captions, self._features = clips, captions, features
        self._encoder = encoder
        self._units: dict[str, CommittedUnit] = {}
        self._dir: StepDir | None = None

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`; reads the texts that came with the clips, to count them.

        Raises:
            InputError: an input is unfinished, or the features are of another model.
        """
        tell.phase("counting texts")
        there = out.begun()
        clips = open_clips(self._clips, there, STEP)
        self._dir = _open_features(self._features, self._encoder)
        opened = [StepDir.open(uri, step="caption") for uri in self._captions]
        for step_dir in opened:
            step_dir.check_finished()
        records: dict[str, UnitRecord] = {}
        sizes: dict[str, int] = {}
        tables = clips.tables(["texts"])
        for (name, unit), table in zip(clips.named_units(), tables, strict=True):
            texts = table["texts"].combine_chunks()
            self._add(f"{GIVEN}{name}", unit, len(texts.flatten()), records, sizes)
        for number, step_dir in enumerate(opened):
            for unit in step_dir.units():
                name = name_of(number, unit.record.unit_id)
                self._add(name, unit, unit.record.num_ok, records, sizes)
        lost = there.manifest.units.keys() - sizes.keys() if there is not None else set()
        if lost and there is not None and there.step == STEP:
            raise InputError(
                f"{out.uri!r} has scores of texts that are not given now ({len(lost)} units); give "
                "the same clips and captions, in the same order, and others after them, or "
                "another --out"
            )
        config = {**self._encoder.fields(), "features": self._dir.manifest.config_hash}
        return manifest_of(STEP, config, records, sizes, clips.sources, there)

    def _add(
        self,
        name: str,
        unit: CommittedUnit,
        num_texts: int,
        records: dict[str, UnitRecord],
        sizes: dict[str, int],
    ) -> None:
        if num_texts:
            self._units[name], records[name], sizes[name] = unit, unit.record, num_texts

    def files(self) -> Mapping[str, bytes]:
        """The manifest names nothing."""
        return {}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if not todo:
            return
        assert self._dir is not None, "the manifest comes first"
        worker = partial(
            ScoreWorker,
            sources={name: self._units[name] for name in todo},
            out=directory.for_workers(todo),
            model=self._encoder,
            vectors=Vectors.of(self._dir),
        )
        yield Stage(unit_ids=todo, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        """Nothing stands beside the units."""

    def close(self) -> None:
        """Nothing is held."""


def _open_features(uri: str, encoder: EncoderModel) -> StepDir:
    step_dir = StepDir.open(uri, step="features")
    step_dir.check_finished()
    made = step_dir.manifest.config
    if made != encoder.fields():
        raise InputError(
            f"--features {uri!r} were made by {made['model']} ({made['revision']}), and --model is "
            f"{encoder.name} ({encoder.revision}); give the model that made them"
        )
    if not encoder.has_texts:
        raise InputError(
            f"--model {encoder.name} ({encoder.kind}) has vectors of pictures alone, and texts are "
            "to be compared with them; take features of clip-b32, siglip2 or an exported run"
        )
    return step_dir


@dataclass(kw_only=True)
class ScoreWorker:
    """Scores and commits units; the model is loaded for the first one."""

    sources: Mapping[str, CommittedUnit]
    out: StepDir
    model: EncoderModel
    vectors: Vectors

    @cached_property
    def _encoder(self) -> Encoder:
        from mama_augment.features.encoder import Encoder

        return Encoder(self.model)

    def run_unit(self, unit_id: str) -> int:
        is_given = unit_id.startswith(GIVEN)
        texts = list((_given if is_given else _captions)(self.sources[unit_id]))
        rows, rejects = [], []
        clip_vectors: list[np.ndarray] = []
        for text in texts:
            identity = f"{text['clip_id']}|{text['source']}|{text['caption_index']}"
            found = self.vectors.find(text["clip_id"])
            if not text["text"].strip():
                rejects.append(Reject.of(STEP, "empty_text", id=identity, message="blank"))
            elif found is None:
                rejects.append(Reject.of(STEP, "no_features", id=identity, message=text["text"]))
            else:
                rows.append(text)
                clip_vectors.append(found)
        if rows:
            vectors_ND = self._encoder.texts([row["text"] for row in rows])
            agreement_N = np.einsum("nd,nd->n", vectors_ND, np.stack(clip_vectors))
            consistency = [None] * len(rows) if is_given else consistencies(rows, vectors_ND)
            for row, score, among in zip(rows, agreement_N.tolist(), consistency, strict=True):
                row |= {"agreement": score, "consistency": among}
        table = pa.Table.from_pylist(rows, SCORES) if rows else None
        return self.out.commit(unit_id, table, rejects).num_in

    def close(self) -> None:
        """The model goes with the worker."""


def consistencies(rows: Sequence[Mapping[str, Any]], vectors_ND: np.ndarray) -> list[float | None]:
    """The mean cosine of each caption with the others of its clip and source."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row["clip_id"], row["source"]].append(number)
    found: list[float | None] = [None] * len(rows)
    for members in groups.values():
        if len(members) > 1:
            own = vectors_ND[members]
            others = (own @ own.sum(axis=0) - np.einsum("nd,nd->n", own, own)) / (len(members) - 1)
            for number, value in zip(members, others.tolist(), strict=True):
                found[number] = value
    return found


def _given(unit: CommittedUnit) -> Iterator[dict[str, Any]]:
    for row in unit.table(["clip_id", "texts"]).to_pylist():
        for index, text in enumerate(row["texts"]):
            yield {
                "clip_id": row["clip_id"],
                "source": text["source"],
                "caption_index": index,
                "text": text["text"],
            }


def _captions(unit: CommittedUnit) -> Iterator[dict[str, Any]]:
    for row in unit.table(["clip_id", "caption_index", "text", "status", "model"]).to_pylist():
        if row["status"] == "ok":
            yield {
                "clip_id": row["clip_id"],
                "source": f"{GENERATED_PREFIX}{row['model']}",
                "caption_index": row["caption_index"],
                "text": row["text"],
            }
