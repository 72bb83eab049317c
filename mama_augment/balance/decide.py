"""What `balance` decides about every text, before a pixel is read.

Passes over the texts (join, concepts, counts, decisions), each from the input, the config and the
seed alone; `rows-<unit>.arrow` in the scratch folder then holds each unit's clips in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mama_augment.balance import shards
from mama_augment.balance.config import BalanceStep
from mama_augment.balance.corpus import ClipTexts, ClipWriter, Corpus
from mama_augment.balance.gather import gather
from mama_augment.balance.keep.even import ConceptSets, Texts
from mama_augment.balance.keep.rule import choose_rule
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.repeats import Repeats
from mama_augment.balance.selection import (
    assign_concepts,
    candidates,
    settle_split,
    thin,
)
from mama_augment.balance.source.beside import Beside
from mama_augment.balance.source.earlier import Changes
from mama_augment.balance.source.frames import Frames
from mama_augment.balance.source.inputs import Inputs
from mama_augment.balance.source.video_splits import VideoSizes, VideoSplits
from mama_augment.balance.splits import (
    CandidatePool,
    DrawnSplits,
    KeptRows,
    SplitSizes,
    draw_splits,
)
from mama_augment.balance.stats import ShardStats
from mama_augment.concepts import FittedAssigner, fit_assigner
from mama_augment.concepts.column import concept_column
from mama_augment.concepts.forecast import Forecast
from mama_augment.core.schema import HELD_OUT, SPLITS

REJECTS_PER_UNIT = 100_000


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Which clip goes to which unit; the clips themselves lie in the scratch folder."""

    units: dict[str, int]
    frames: Frames
    stats: ShardStats
    assigner: FittedAssigner
    shares_videos: bool
    """Whether training clips share videos, so that shards say which clips do."""


def decide(
    inputs: Inputs,
    step: BalanceStep,
    scratch: Path,
    on_phase: Callable[[str], None],
    beside: Beside,
) -> Decisions:
    """Decide about every text; `rows-<unit>.arrow` in `scratch` holds each unit's clips.

    Algorithm, each step a pass over the buckets of the corpus:
        1. Join clips and captions, in the seeded order; blank and doubled texts leave. Pixels go
           to the scratch folder on the way.
        2. Fit the concept assigner on the texts, in as many passes as it takes.
        3. Assign concepts; settle what earlier shards have; collect trusted candidates of other
           videos, and draw the held-out splits from them.
        4. Settle each clip's split; count repeats among training texts, and visits per concept.
        5. With a limit on repeats, count visits again without the texts beyond it.
        6. From the texts' sets of concepts: each one's keep probability (`rule`). Thin training
           texts by them, and count what is left.
        7. Cut each split's rows into units of about one size, and write each unit's clips.
    """
    on_phase("joining clips and captions")
    frames = Frames.of(inputs.clips, scratch, step.balance.seed)
    corpus = gather(
        inputs,
        scratch,
        seed=step.balance.seed,
        column=concept_column(step.concepts),
        frames=frames,
        beside=beside,
    )
    on_phase(f"finding concepts ({step.concepts.assigner})")
    assigner = fit_assigner(step.concepts, corpus.fit_batches)
    names = list(assigner.names)
    on_phase("assigning concepts and drawing splits")
    drawn = assign_and_draw(corpus, assigner, step.sizes)
    on_phase("balancing")
    stats = ShardStats(names=names, warnings=list(drawn.warnings), short=drawn.short_concepts)
    if beside.near is not None:
        on_phase("comparing clips")
        beside.near.find(_held_out(corpus, drawn))
    stats.near = beside.near
    stats.repeats = Repeats(limit=step.balance.max_same_text)
    stats.reviews, stats.scores = beside.reviews, beside.scores
    stats.changes = None if beside.earlier is None else Changes(earlier=beside.earlier)
    texts = count(corpus, drawn, stats, stats.repeats)
    if step.plan is not None:
        forecast = Forecast.read(step.plan)
        stats.forecast = forecast.compare(names, stats.before - stats.given)
    rows = _thin(corpus, drawn, stats, texts, step.balance)
    units = _place(corpus, rows, frames.mean_bytes, step.shard_mb)
    return Decisions(
        units=units,
        frames=frames,
        stats=stats,
        assigner=assigner,
        shares_videos=drawn.shares_videos,
    )


def count(corpus: Corpus, drawn: DrawnSplits, stats: ShardStats, repeats: Repeats) -> Texts:
    """Count repeats among training texts, and the concepts of those within the limit."""
    sets = ConceptSets(num_concepts=len(stats.names))
    for clips in _settled(corpus, drawn, stats):
        for clip in clips:
            if clip.split == "train":
                repeats.count(clip)
        if repeats.limit is None:
            _count_before(clips, stats, sets)
    repeats.finish_counting()
    if repeats.limit is not None:
        for clips in _settled(corpus, drawn, stats, repeats):
            _count_before(clips, stats, sets)
    return sets.finish()


def _count_before(clips: Sequence[ClipTexts], stats: ShardStats, sets: ConceptSets) -> None:
    for clip in clips:
        stats.count_before(clip)
    sets.add(t.concept_ids for clip in clips if clip.split == "train" for t in clip.kept())


def _thin(
    corpus: Corpus, drawn: DrawnSplits, stats: ShardStats, texts: Texts, config: BalanceConfig
) -> dict[str, int]:
    """Thin training texts by the visits that were counted; the number of rows of each split."""
    rule = choose_rule(texts, config)
    stats.cap, stats.keep = rule.cap, rule.to_json(config)
    stats.is_weighted = config.way == "weights"
    rows = dict.fromkeys(SPLITS, 0)
    for bucket, clips in enumerate(_settled(corpus, drawn, stats, stats.repeats)):
        thin([clip for clip in clips if clip.split == "train"], rule, config)
        for clip in clips:
            stats.count_after(clip)
            if clip.kept():
                rows[clip.split or ""] += 1
        stats.count_changes(clips)
        corpus.write("decided", bucket, clips)
    stats.finish()
    return rows


def _held_out(corpus: Corpus, drawn: DrawnSplits) -> dict[str, str]:
    """The split of every clip that serves in meta, val or test."""
    found = {}
    for clips in corpus.clips("assigned"):
        for clip in clips:
            settle_split(clip, drawn)
            if clip.split in HELD_OUT and clip.kept():
                found[clip.clip_id] = clip.split
    return found


def _settled(
    corpus: Corpus, drawn: DrawnSplits, stats: ShardStats, repeats: Repeats | None = None
) -> Iterator[list[ClipTexts]]:
    """Clips in their splits, without training texts that are said too often or whose clips look
    like held-out ones.

    Cheap enough to be redone in each pass; writing its outcome down would take longer.
    """
    if repeats is not None:
        repeats.restart()
    for clips in corpus.clips("assigned"):
        for clip in clips:
            settle_split(clip, drawn)
            if stats.near is not None and clip.split == "train":
                stats.near.judge(clip.clip_id, clip.texts)
            if repeats is not None and clip.split == "train":
                repeats.thin(clip)
        yield clips


def assign_and_draw(corpus: Corpus, assigner: FittedAssigner, sizes: SplitSizes) -> DrawnSplits:
    """Stage `assigned`: concepts of every text; the splits that nobody gave."""
    pool = CandidatePool(sizes, len(assigner.names), corpus.num_clips)
    given: dict[str, str] = {}
    given_splits: set[str] = set()
    kept = {split: KeptRows.none(len(assigner.names)) for split in HELD_OUT}
    sizes_of = VideoSizes()
    for bucket, clips in enumerate(corpus.clips("joined")):
        assign_concepts(clips, assigner)
        given_splits.update(clip.split for clip in clips if clip.split in HELD_OUT)
        _settle_and_pool(corpus.video_splits, clips, pool, kept)
        corpus.write("assigned", bucket, clips)
        for clip in clips:
            if clip.split in HELD_OUT:
                # One video in two held-out splits serves the one that is filled first.
                first = min(given.get(clip.video, clip.split), clip.split, key=HELD_OUT.index)
                given[clip.video] = first
        trains = (c for c in clips if c.split in (None, "train") and c.kept())
        sizes_of.add([clip.video for clip in trains])
    sizes_of.close()
    return draw_splits(
        pool,
        sizes,
        num_concepts=len(assigner.names),
        given_videos=given,
        given_splits=given_splits,
        kept=kept,
        video_sizes=sizes_of,
    )


def _settle_and_pool(
    splits: VideoSplits,
    clips: Sequence[ClipTexts],
    pool: CandidatePool,
    kept: Mapping[str, KeptRows],
) -> None:
    """Hand the candidates among a bucket's clips to the pool; clips that earlier shards have get
    the split that they have there, and are counted in `kept`."""
    found = candidates(clips)
    # A video with a given or kept split stays whole: to draw one of its clips would take the others
    # out of their split.
    videos = [candidate.video for candidate in found]
    is_given, is_kept = splits.is_given(videos), splits.is_kept(videos)
    pool.num_seen += int(np.count_nonzero(is_kept & ~is_given))
    for candidate in itertools.compress(found, ~(is_given | is_kept)):
        pool.add(candidate)
    concepts = {candidate.clip_id: candidate.concept_ids for candidate in found}
    there = [clip for clip in clips if clip.video]
    for clip, split in zip(there, splits.kept(there), strict=True):
        if split is None or clip.split is not None:
            continue
        clip.split = split
        if split in HELD_OUT and clip.clip_id in concepts:
            kept[split].add(concepts[clip.clip_id])


def _place(
    corpus: Corpus, rows: dict[str, int], bytes_per_row: float, shard_mb: int
) -> dict[str, int]:
    """Cut each split's shuffled rows into shards of about one size, and write the units' rows."""
    num_shards = {
        split: max(1, int(np.ceil(n * bytes_per_row / (shard_mb * 2**20)))) if n else 0
        for split, n in rows.items()
    }
    filled = [f"{split}-{i:05d}" for split in SPLITS for i in range(num_shards[split])]
    units = dict.fromkeys(filled, 0)
    with _UnitWriter(corpus) as writer:
        rank = dict.fromkeys(rows, 0)
        num_dropped = 0
        for clips in corpus.clips("decided"):
            of_unit: dict[str, list[ClipTexts]] = {}
            for clip in clips:
                if clip.kept():
                    split = clip.split or ""
                    unit_id = f"{split}-{rank[split] * num_shards[split] // rows[split]:05d}"
                    rank[split] += 1
                else:
                    unit_id = f"{shards.DROPPED}-{num_dropped // REJECTS_PER_UNIT:05d}"
                    num_dropped += shards.num_items(clip)
                units[unit_id] = units.get(unit_id, 0) + shards.num_items(clip)
                of_unit.setdefault(unit_id, []).append(clip)
            writer.write(of_unit)
    return units


class _UnitWriter:
    """Writes each unit's rows; a split's units come in order, so one file per split is open."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._open: dict[str, tuple[str, ClipWriter]] = {}

    def write(self, of_unit: dict[str, list[ClipTexts]]) -> None:
        for unit_id, clips in of_unit.items():
            split = unit_id.rpartition("-")[0]
            open_unit, writer = self._open.get(split, (None, None))
            if open_unit != unit_id:
                if writer is not None:
                    writer.close()
                path = shards.rows_path(self._corpus.scratch, unit_id)
                writer = ClipWriter(path, self._corpus.schema)
                self._open[split] = unit_id, writer
            assert writer is not None
            writer.write(clips)

    def __enter__(self) -> _UnitWriter:
        return self

    def __exit__(self, *error: object) -> None:
        for _, writer in self._open.values():
            writer.close()
