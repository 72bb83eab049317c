"""`plan`: existing texts and a budget in, the number of captions of every clip out.

One pass over the joined texts keeps, of each clip, its concepts in flat columns; its id goes to
disk, sorted within its bucket. When the budget is spent, the buckets are merged into the plan.
"""

from __future__ import annotations

import heapq
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.balance.corpus import ClipTexts, Corpus
from mama_augment.balance.gather import gather
from mama_augment.balance.selection import assign_concepts, count_visits
from mama_augment.balance.source.inputs import Inputs
from mama_augment.budget.flagged import skipped_clips
from mama_augment.budget.spend import BudgetConfig, Counts, Spending, main_concepts, spend
from mama_augment.concepts import ConceptConfig, FittedAssigner, TextBatch, fit_assigner
from mama_augment.concepts.column import concept_column
from mama_augment.concepts.forecast import write_forecast
from mama_augment.concepts.lists import ConceptLists, ListsWriter
from mama_augment.core.errors import InputError
from mama_augment.core.schema import HELD_OUT, PLAN
from mama_augment.core.store.files import output_file

_IDS = pa.schema({"clip_id": pa.string(), "place": pa.int64(), "reason": pa.string()})
"""A clip and where its concepts are; a clip that gets no caption has a reason instead."""

ROWS_PER_GROUP = 50_000
ROWS_PER_READ = 256
"""Of each bucket, while all are merged."""

_Id = tuple[str, int | None, str | None]


@dataclass(frozen=True, kw_only=True)
class CaptionPlan:
    """What a plan asks for, and what to expect of it."""

    names: tuple[str, ...]
    counts_before: npt.NDArray[np.int64]
    counts_after: npt.NDArray[np.int64]
    num_clips: int
    num_clips_known: int
    """Of the clips that may be captioned, those that are about some concept."""
    num_clips_planned: int
    num_planned: int
    num_unspent: int
    num_skipped: int
    """Clips that have a flag to be skipped."""


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """What the texts tell: visits by concept, and the concepts of each clip to caption."""

    names: tuple[str, ...]
    counts: Counts
    concepts: ConceptLists
    num_clips: int
    """With those that are held out."""


def make_caption_plan(
    clips: str | Sequence[str],
    captions: Sequence[str],
    concepts: ConceptConfig,
    budget: BudgetConfig,
    out: str | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> CaptionPlan:
    """Plan how many captions each clip gets; held-out clips get none.

    clips: one clips directory or more. out: where to write the rows of `PLAN`, for
    `caption --plan`; by default they are not made.

    Raises:
        InputError: an input step is unfinished, no clip may be captioned, or `out` is a directory.
    """
    return plan_captions(Inputs.open(clips, captions), concepts, budget, out, on_phase)


def plan_captions(
    inputs: Inputs,
    concepts: ConceptConfig,
    budget: BudgetConfig,
    out: str | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> CaptionPlan:
    """As `make_caption_plan`, of directories that are open."""
    if out is not None:
        output_file(out)
    inputs.check_finished()
    scratch = Path(tempfile.mkdtemp(prefix="mama-augment-"))
    try:
        on_phase("joining clips and texts")
        column = concept_column(concepts)
        corpus = gather(inputs, scratch, seed=budget.seed, column=column)
        on_phase(f"finding concepts ({concepts.assigner})")
        assigner = fit_assigner(concepts, corpus.fit_batches)
        on_phase("counting")
        skipped = skipped_clips(inputs.clips, budget.skip_flags or ())
        known = _count(corpus, assigner, skipped)
        if not len(known.concepts):
            if skipped:
                raise InputError(
                    f"{inputs.clips.uri!r} holds no clip without the flags "
                    f"{', '.join(budget.skip_flags or ())} (--skip-flags) to caption"
                )
            raise InputError(
                f"{inputs.clips.uri!r} holds no clip outside {', '.join(HELD_OUT)} to caption"
            )
        on_phase("spending the budget")
        spending = spend(known.concepts, known.counts, budget)
        gains = spending.counts_after - known.counts
        if out is not None:
            on_phase("writing the plan")
            write_plan(out, _rows(corpus, known, spending), scratch)
            write_forecast(out, assigner, gains)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return CaptionPlan(
        names=known.names,
        counts_before=known.counts,
        counts_after=spending.counts_after,
        num_clips=known.num_clips,
        num_clips_known=int(np.count_nonzero(np.diff(known.concepts.starts))),
        num_clips_planned=int(np.count_nonzero(spending.num_captions)),
        num_planned=budget.num_captions - spending.num_unspent,
        num_unspent=spending.num_unspent,
        num_skipped=len(skipped),
    )


def write_plan(out: str, rows: Iterable[tuple[str, int, str]], scratch: Path) -> None:
    """Write rows of `PLAN` as plan.parquet (or whatever `out` names), a row group at a time."""
    path = scratch / "plan.parquet"
    with pq.ParquetWriter(path, PLAN, compression="zstd") as writer:
        remaining = iter(rows)
        while group := list(itertools.islice(remaining, ROWS_PER_GROUP)):
            columns = [list(column) for column in zip(*group, strict=True)]
            writer.write_table(pa.table(columns, schema=PLAN), row_group_size=ROWS_PER_GROUP)
    folder, name = output_file(out)
    folder.write_file(name, path)


def _count(corpus: Corpus, assigner: FittedAssigner, skipped: Mapping[str, str]) -> _Texts:
    """Read all texts once; `ids-<bucket>.arrow` then has the clips of each bucket by clip_id."""
    names = tuple(assigner.names)
    counts = np.zeros(len(names), np.int64)
    concepts = ListsWriter(len(names))
    num_clips = place = 0
    for bucket, clips in enumerate(corpus.clips("joined")):
        assign_concepts(clips, assigner)
        ids: list[_Id] = []
        lists: list[list[int]] = []
        for clip in clips:
            if not clip.video:
                continue
            if clip.split in HELD_OUT:
                ids.append((clip.clip_id, None, f"held out for {clip.split}"))
                continue
            count_visits(clip.kept(), len(counts), counts)
            if clip.clip_id in skipped:
                ids.append((clip.clip_id, None, f"flagged: {skipped[clip.clip_id]}"))
                continue
            ids.append((clip.clip_id, place + len(lists), None))
            lists.append(_concepts_of(clip, assigner))
        concepts.add(lists)
        place += len(lists)
        num_clips += len(ids)
        _write_ids(_ids_path(corpus, bucket), ids)
    return _Texts(names=names, counts=counts, concepts=concepts.finish(), num_clips=num_clips)


def _concepts_of(clip: ClipTexts, assigner: FittedAssigner) -> list[int]:
    """What the clip is about. Labels and vectors are known before any text is; words are not."""
    return main_concepts(
        [text.concept_ids for text in clip.kept()]
        or assigner.assign(TextBatch(texts=[""], values=[clip.value]))
    )


def _ids_path(corpus: Corpus, bucket: int) -> Path:
    return corpus.scratch / f"ids-{bucket:03d}.arrow"


def _write_ids(path: Path, ids: list[_Id]) -> None:
    columns = zip(*sorted(ids), strict=True) if ids else ((), (), ())
    table = pa.table([list(column) for column in columns], schema=_IDS)
    with pa.ipc.new_stream(str(path), _IDS) as writer:
        writer.write_table(table, max_chunksize=ROWS_PER_READ)


def _read_ids(path: Path) -> Iterator[_Id]:
    with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _rows(corpus: Corpus, known: _Texts, spending: Spending) -> Iterator[tuple[str, int, str]]:
    """The rows of the plan, by clip_id."""
    buckets = [_read_ids(_ids_path(corpus, bucket)) for bucket in range(corpus.num_buckets)]
    for clip_id, place, reason in heapq.merge(*buckets):
        if place is None:
            assert reason is not None, "a clip without concepts says why"
            yield clip_id, 0, reason
        else:
            yield clip_id, int(spending.num_captions[place]), _reason(place, known, spending)


def _reason(place: int, known: _Texts, spending: Spending) -> str:
    names, before, after = known.names, known.counts, spending.counts_after
    concept = spending.concept_id[place]
    if concept >= 0:
        return f"rare: {names[concept]} ({before[concept]} → {after[concept]})"
    if spending.num_captions[place]:
        return "unknown concept, budget left"
    concepts = known.concepts[place]
    if not len(concepts):
        return "unknown concept"
    rarest = concepts[np.argmin(before[concepts])]
    return f"enough: {names[rarest]} ({after[rarest]})"
