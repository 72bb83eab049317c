"""`plan`: existing texts and a budget in, the number of captions of every clip out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mama_augment.budget import BudgetConfig, Spending, main_concepts, spend
from mama_augment.concepts import ConceptConfig, TextBatch, fit_assigner
from mama_augment.corpus import Corpus, gather
from mama_augment.files import Folder
from mama_augment.schema import InputError
from mama_augment.selection import assign_concepts, count_visits, fit_batch
from mama_augment.splits import HELD_OUT
from mama_augment.steps.balance import finished
from mama_augment.store import parquet_bytes

PLAN = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("num_captions", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One row per clip of the clips table, sorted by clip_id; 0 captions where none is planned."""


@dataclass(frozen=True, kw_only=True)
class CaptionPlan:
    """A plan and what to expect of it."""

    table: pa.Table
    names: tuple[str, ...]
    counts_before: npt.NDArray[np.int64]
    counts_after: npt.NDArray[np.int64]
    num_unspent: int

    @property
    def num_planned(self) -> int:
        return int(np.sum(self.table["num_captions"].to_numpy()))


def make_caption_plan(
    clips: str,
    captions: Sequence[str],
    concepts: ConceptConfig,
    budget: BudgetConfig,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> CaptionPlan:
    """Plan how many captions each clip gets; held-out clips get none.

    Raises:
        InputError: an input step is unfinished, or no clip may be captioned.
    """
    clips_dir = finished(clips, "keyframes")
    captions_dirs = [finished(uri, "caption") for uri in captions]
    scratch = Path(tempfile.mkdtemp(prefix="mama-augment-"))
    try:
        on_phase("joining clips and texts")
        corpus = gather(clips_dir, captions_dirs, scratch, seed=budget.seed, column=concepts.column)
        on_phase(f"finding concepts ({concepts.assigner})")
        assigner = fit_assigner(concepts, partial(_batches, corpus))
        on_phase("counting")
        counts = np.zeros(len(assigner.names), np.int64)
        clip_ids: list[str] = []
        held_out: list[tuple[str, str]] = []
        clip_concepts: list[list[int]] = []
        for bucket in corpus.clips("joined"):
            assign_concepts(bucket, assigner)
            for clip in bucket:
                if not clip.video:
                    continue
                if clip.split in HELD_OUT:
                    held_out.append((clip.clip_id, f"held out for {clip.split}"))
                    continue
                texts = clip.kept()
                count_visits(texts, len(counts), counts)
                clip_ids.append(clip.clip_id)
                # Labels and vectors are known before any text is; words are not.
                lists = [text.concept_ids for text in texts] or assigner.assign(
                    TextBatch(texts=[""], values=[clip.value])
                )
                clip_concepts.append(main_concepts(lists))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not clip_ids:
        raise InputError(f"{clips!r} holds no clip outside {', '.join(HELD_OUT)} to caption")
    on_phase("spending the budget")
    spending = spend(clip_concepts, counts, budget)
    names = tuple(assigner.names)
    reasons = [_reason(i, spending, clip_concepts[i], names, counts) for i in range(len(clip_ids))]
    rows = sorted(
        [*zip(clip_ids, spending.num_captions.tolist(), reasons, strict=True)]
        + [(clip_id, 0, why) for clip_id, why in held_out]
    )
    return CaptionPlan(
        table=pa.table([list(column) for column in zip(*rows, strict=True)], schema=PLAN),
        names=names,
        counts_before=counts,
        counts_after=spending.counts_after,
        num_unspent=spending.num_unspent,
    )


def write_plan(plan: CaptionPlan, out: str) -> None:
    """Write plan.parquet (or whatever `out` names) for `caption --plan`."""
    folder, _, name = out.rpartition("/")
    Folder(folder or ("/" if out.startswith("/") else ".")).write_bytes(
        name, parquet_bytes(plan.table)
    )


def _batches(corpus: Corpus) -> Iterator[TextBatch]:
    for clips in corpus.clips("joined"):
        yield fit_batch(clips)


def _reason(
    i: int,
    spending: Spending,
    concepts: Sequence[int],
    names: Sequence[str],
    counts: npt.NDArray[np.int64],
) -> str:
    if spending.num_captions[i] and spending.concept_id[i] >= 0:
        concept = spending.concept_id[i]
        return f"rare: {names[concept]} ({counts[concept]} → {spending.counts_after[concept]})"
    if spending.num_captions[i]:
        return "unknown concept, budget left"
    if not concepts:
        return "unknown concept"
    rarest = min(concepts, key=lambda c: counts[c])
    return f"enough: {names[rarest]} ({spending.counts_after[rarest]})"
