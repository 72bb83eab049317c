"""The step `balance`: clips and captions in, concept-balanced training shards out.

Four passes over the texts (join, concepts, counts, decisions), then one over the pixels. The
plan is made anew on every run, from the input, the config and the seed alone; a resumed run
writes only the shards that are missing.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mama_augment import shards
from mama_augment.concepts import ConceptAssigner, ConceptConfig, TextBatch, fit_assigner
from mama_augment.corpus import Clip, ClipWriter, Corpus, gather
from mama_augment.files import Folder
from mama_augment.plan import BalanceConfig, auto_cap, concept_probabilities
from mama_augment.records import Manifest, check_same, fingerprint, versions
from mama_augment.repeats import Repeats
from mama_augment.runtime import OnUnitDone, RuntimeConfig, run_units
from mama_augment.schema import SPLITS, InputError
from mama_augment.selection import (
    assign_concepts,
    candidates,
    fit_batch,
    settle_split,
    thin,
)
from mama_augment.shard_stats import STATS_NAME, ShardStats, write_sidecars
from mama_augment.splits import HELD_OUT, DrawnSplits, SplitSizes, draw_splits
from mama_augment.store import StepDir

STEP = "balance"
SCRATCH = ".scratch"
REJECTS_PER_UNIT = 100_000
MAX_SHARD_MB = 1_024


@dataclass(frozen=True, kw_only=True)
class BalanceStep:
    """Everything that decides what comes out."""

    concepts: ConceptConfig = field(default_factory=ConceptConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    sizes: SplitSizes = field(default_factory=SplitSizes)
    shard_mb: int = 256
    """About how large a shard gets, in MiB of frames."""

    def __post_init__(self) -> None:
        if not 1 <= self.shard_mb <= MAX_SHARD_MB:
            raise InputError(f"--shard-mb is {self.shard_mb}; allowed: 1 to {MAX_SHARD_MB}")

    def manifest_config(self) -> dict[str, Any]:
        """The config as it is compared on a rerun: files by their content, not their path."""
        config = dataclasses.asdict(self)
        config["concepts"]["vocabulary"] = _file_fingerprint(self.concepts.vocabulary)
        config["concepts"]["model"] = _file_fingerprint(
            self.concepts.model and f"{self.concepts.model.rstrip('/')}/model.json"
        )
        # JSON has no infinity.
        config["balance"]["cap"] = None if self.balance.cap is None else str(self.balance.cap)
        return config


@dataclass(frozen=True, kw_only=True)
class BalancePlan:
    """Which clip goes to which unit; the clips themselves lie in the scratch folder."""

    units: dict[str, int]
    placement: shards.Placement
    stats: ShardStats
    assigner: ConceptAssigner


def run_step(
    clips: str,
    captions: Sequence[str],
    out: str,
    step: BalanceStep,
    runtime: RuntimeConfig,
    *,
    overwrite: bool = False,
    on_phase: Callable[[str], None] = lambda phase: None,
    on_start: Callable[[StepDir], None] = lambda step_dir: None,
    on_done: OnUnitDone = lambda unit_id, num_items: None,
) -> StepDir:
    """Balance `clips` with `captions` into `out`, or finish an interrupted run of the same.

    Raises:
        InputError: an input step is unfinished, or `out` holds something else.
    """
    clips_dir = finished(clips, "keyframes")
    captions_dirs = [finished(uri, "caption") for uri in captions]
    source = fingerprint([d.input_fingerprint() for d in (clips_dir, *captions_dirs)])
    config = step.manifest_config()
    if not overwrite and (done := _already_done(out, config, source)):
        on_start(done)
        return done
    scratch = _scratch(out)
    try:
        plan = make_plan(clips_dir, captions_dirs, step, scratch, on_phase)
        manifest = Manifest(
            step=STEP,
            config=config,
            input_fingerprint=source,
            units=plan.units,
            versions=versions("ahocorasick-rs", "numpy", "pyarrow", "scikit-learn"),
        )
        out_dir = StepDir.create_or_resume(out, manifest, overwrite=overwrite)
        todo = out_dir.units_to_do()
        if todo:
            out_dir.folder.delete(STATS_NAME)
        on_start(out_dir)
        worker = partial(shards.ShardWorker, out=out_dir, scratch=scratch)
        for unit_ids in shards.groups(todo):
            shards.spill_frames(clips_dir, plan.placement, unit_ids, scratch, step.balance.seed)
            run_units(unit_ids, worker, runtime, on_done)
        plan.assigner.save(out_dir.folder.child("concept_model"))
        write_sidecars(out_dir.folder, plan.stats)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out_dir


def make_plan(
    clips_dir: StepDir,
    captions_dirs: Sequence[StepDir],
    step: BalanceStep,
    scratch: Path,
    on_phase: Callable[[str], None],
) -> BalancePlan:
    """Decide about every text; `rows-<unit>.arrow` in `scratch` holds each unit's clips."""
    on_phase("joining clips and captions")
    corpus = gather(
        clips_dir, captions_dirs, scratch, seed=step.balance.seed, column=step.concepts.column
    )
    on_phase(f"finding concepts ({step.concepts.assigner})")
    assigner = fit_assigner(step.concepts, partial(_batches, corpus))
    names = list(assigner.names)
    on_phase("assigning concepts and drawing splits")
    drawn = _assign_and_draw(corpus, assigner, step.sizes)
    on_phase("balancing")
    stats = ShardStats(names=names, warnings=list(drawn.warnings), short=drawn.short_concepts)
    repeats = stats.repeats = Repeats(limit=step.balance.max_same_text)
    for bucket, clips in enumerate(corpus.clips("assigned")):
        for clip in clips:
            settle_split(clip, drawn)
            if clip.split == "train":
                repeats.count(clip)
        corpus.write("split", bucket, clips)
    repeats.finish_counting()
    for bucket, clips in enumerate(corpus.clips("split")):
        for clip in clips:
            if clip.split == "train":
                repeats.thin(clip)
            stats.count_before(clip)
        corpus.write("settled", bucket, clips)
    cap = step.balance.cap or auto_cap(stats.before)
    probabilities = concept_probabilities(stats.before, cap)
    stats.cap = cap
    rows = dict.fromkeys(SPLITS, 0)
    for bucket, clips in enumerate(corpus.clips("settled")):
        for clip in clips:
            if clip.split == "train":
                thin(clip, probabilities, step.balance)
            stats.count_after(clip)
            if clip.kept():
                rows[clip.split or ""] += 1
        corpus.write("decided", bucket, clips)
    stats.finish()
    units, placement = _place(corpus, rows, shards.mean_frames_bytes(clips_dir), step.shard_mb)
    return BalancePlan(units=units, placement=placement, stats=stats, assigner=assigner)


def _batches(corpus: Corpus) -> Iterator[TextBatch]:
    for clips in corpus.clips("joined"):
        yield fit_batch(clips)


def _assign_and_draw(corpus: Corpus, assigner: ConceptAssigner, sizes: SplitSizes) -> DrawnSplits:
    pool = []
    given: dict[str, str] = {}
    given_splits: set[str] = set()
    for bucket, clips in enumerate(corpus.clips("joined")):
        assign_concepts(clips, assigner)
        corpus.write("assigned", bucket, clips)
        pool.extend(candidates(clips))
        for clip in clips:
            if clip.split in HELD_OUT:
                given_splits.add(clip.split)
                # One video in two held-out splits serves the one that is filled first.
                first = min(given.get(clip.video, clip.split), clip.split, key=HELD_OUT.index)
                given[clip.video] = first
    return draw_splits(
        pool,
        sizes,
        num_concepts=len(assigner.names),
        given_videos=given,
        given_splits=given_splits,
    )


def _place(
    corpus: Corpus, rows: dict[str, int], bytes_per_row: float, shard_mb: int
) -> tuple[dict[str, int], shards.Placement]:
    """Cut each split's shuffled rows into shards of about one size, and write the units' rows."""
    num_shards = {
        split: max(1, int(np.ceil(n * bytes_per_row / (shard_mb * 2**20)))) if n else 0
        for split, n in rows.items()
    }
    planned = [f"{split}-{i:05d}" for split in SPLITS for i in range(num_shards[split])]
    index_of = {unit_id: i for i, unit_id in enumerate(planned)}
    units = dict.fromkeys(planned, 0)
    order: list[int] = []
    unit_index: list[int] = []
    with _UnitWriter(corpus) as writer:
        rank = dict.fromkeys(rows, 0)
        num_dropped = 0
        for clips in corpus.clips("decided"):
            of_unit: dict[str, list[Clip]] = {}
            for clip in clips:
                if clip.kept():
                    split = clip.split or ""
                    unit_id = f"{split}-{rank[split] * num_shards[split] // rows[split]:05d}"
                    rank[split] += 1
                    order.append(clip.order)
                    unit_index.append(index_of[unit_id])
                else:
                    unit_id = f"{shards.DROPPED}-{num_dropped // REJECTS_PER_UNIT:05d}"
                    num_dropped += shards.num_items(clip)
                units[unit_id] = units.get(unit_id, 0) + shards.num_items(clip)
                of_unit.setdefault(unit_id, []).append(clip)
            writer.write(of_unit)
    return units, shards.Placement(
        order=np.array(order, np.uint64),
        unit_index=np.array(unit_index, np.int32),
        unit_ids=planned,
    )


class _UnitWriter:
    """Writes each unit's rows; a split's units come in order, so one file per split is open."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._open: dict[str, tuple[str, ClipWriter]] = {}

    def write(self, of_unit: dict[str, list[Clip]]) -> None:
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


def finished(uri: str, step: str) -> StepDir:
    """Open a step's output that nothing is pending in.

    Raises:
        InputError: units are pending: what is balanced now would differ from the rest later.
    """
    step_dir = StepDir.open(uri, step=step)
    if pending := step_dir.units_to_do():
        raise InputError(
            f"{uri!r} is unfinished: {len(pending)} of {len(step_dir.manifest.units)} units are "
            f"pending. Run the same `mama-augment {step}` command again; it continues"
        )
    return step_dir


def _already_done(out: str, config: dict[str, Any], source: str) -> StepDir | None:
    """The output when it is complete; None when there is work to do.

    Raises:
        InputError: `out` holds another step, config or input; said before any work is done.
    """
    if not Folder(out).exists("manifest.json"):
        return None
    existing = StepDir.open(out)
    wanted = dataclasses.replace(
        existing.manifest, step=STEP, config=config, input_fingerprint=source
    )
    check_same(existing.manifest, wanted, out)
    complete = not existing.units_to_do() and existing.folder.exists(STATS_NAME)
    return existing if complete else None


def _scratch(out: str) -> Path:
    """An empty folder for the passes' files: inside a local output, else a temporary one."""
    folder = Folder(out)
    if not folder.is_local:
        return Path(tempfile.mkdtemp(prefix="mama-augment-"))
    scratch = Path(folder.path(SCRATCH))
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return scratch


def _file_fingerprint(path: str | None) -> str | None:
    if path is None:
        return None
    folder, _, name = path.rpartition("/")
    source = Folder(folder or ("/" if path.startswith("/") else "."))
    if source.size_bytes(name) is None:
        raise InputError(f"{path!r}: no such file")
    return fingerprint(source.read_bytes(name).decode())
