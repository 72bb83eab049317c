"""Write decided rows as training shards: pixels follow their rows out of core.

Which clip goes to which unit, in which order, is known before a pixel is read. One pass over the
clips table copies the frames of as many shards as files can be open into one scratch file each;
then each shard is put in order and committed. Memory holds one row group and one shard per worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mama_augment.balance.corpus import ClipTexts, read_clips, read_stream
from mama_augment.core import schema
from mama_augment.core.draws import draw_bits
from mama_augment.core.ledger import Reject
from mama_augment.core.reasons import reason_of
from mama_augment.core.store.step_dir import StepDir

MAX_OPEN_FILES = 200
DROPPED = "dropped"
_FRAMES = ["clip_id", "frames", "frame_seconds"]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where each kept clip goes: `unit_index[i]` for the clip whose order is `order[i]`."""

    order: npt.NDArray[np.uint64]
    """Ascending."""
    unit_index: npt.NDArray[np.int32]
    unit_ids: Sequence[str]

    def units_of(self, clip_ids: Sequence[str], seed: int) -> npt.NDArray[np.int32]:
        """Index into `unit_ids` of each clip, or -1 for one that is not kept."""
        wanted = np.array([draw_bits(seed, "order", i) for i in clip_ids], np.uint64)
        if not len(self.order):
            return np.full(len(wanted), -1, np.int32)
        at = np.minimum(np.searchsorted(self.order, wanted), len(self.order) - 1)
        return np.where(self.order[at] == wanted, self.unit_index[at], np.int32(-1))


def mean_frames_bytes(clips_dir: StepDir) -> float:
    """Mean size of a clip's frames, from the Parquet footers alone."""
    num_bytes = num_rows = 0
    for unit in clips_dir.units():
        metadata = unit.metadata()
        for g in range(metadata.num_row_groups):
            group = metadata.row_group(g)
            columns = (group.column(c) for c in range(group.num_columns))
            num_bytes += sum(
                c.total_uncompressed_size for c in columns if c.path_in_schema.startswith("frames.")
            )
        num_rows += metadata.num_rows
    return num_bytes / max(1, num_rows)


def passes(unit_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The units that each pass over the clips spills frames for: their files are open at once."""
    for start in range(0, len(unit_ids), MAX_OPEN_FILES):
        yield unit_ids[start : start + MAX_OPEN_FILES]


def spill_frames(
    clips_dir: StepDir, placement: Placement, unit_ids: Sequence[str], scratch: Path, seed: int
) -> None:
    """Copy the frames of the clips of `unit_ids` into one scratch file per unit."""
    wanted = {unit_id for unit_id in unit_ids if not unit_id.startswith(DROPPED)}
    if not wanted:
        return
    writers: dict[str, pa.RecordBatchStreamWriter] = {}
    for table in _frame_tables(clips_dir):
        units = placement.units_of(table["clip_id"].to_pylist(), seed)
        for index in np.unique(units[units >= 0]):
            unit_id = placement.unit_ids[index]
            if unit_id not in wanted:
                continue
            if unit_id not in writers:
                path = str(frames_path(scratch, unit_id))
                writers[unit_id] = pa.ipc.new_stream(path, table.schema)
            writers[unit_id].write_table(table.filter(pa.array(units == index)))
    for writer in writers.values():
        writer.close()


def _frame_tables(clips_dir: StepDir) -> Iterator[pa.Table]:
    for unit in clips_dir.units():
        for _, table in unit.row_groups(_FRAMES):
            yield table.select(_FRAMES)


def rows_path(scratch: Path, unit_id: str) -> Path:
    return scratch / f"rows-{unit_id}.arrow"


def frames_path(scratch: Path, unit_id: str) -> Path:
    return scratch / f"frames-{unit_id}.arrow"


@dataclass(frozen=True, kw_only=True)
class ShardWorker:
    """Commits a unit from its decided rows and its spilled frames, then frees the scratch."""

    out: StepDir
    scratch: Path

    def run_unit(self, unit_id: str) -> int:
        clips = read_clips(rows_path(self.scratch, unit_id))
        rejects = [reject for clip in clips for reject in rejects_of(clip)]
        if unit_id.startswith(DROPPED):
            return self.out.commit(unit_id, None, rejects).num_in
        frames = read_stream(frames_path(self.scratch, unit_id))
        table = shard_table(clips, frames)
        split = unit_id.rpartition("-")[0]
        record = self.out.commit(unit_id, table, rejects, subfolder=split)
        os.unlink(frames_path(self.scratch, unit_id))
        return record.num_in

    def close(self) -> None:
        """Nothing is held between units."""


def shard_table(clips: Sequence[ClipTexts], frames: pa.Table) -> pa.Table:
    """Rows of one shard, in the order of `clips`; frames byte for byte as they were."""
    position = {clip_id: i for i, clip_id in enumerate(frames["clip_id"].to_pylist())}
    missing = [clip.clip_id for clip in clips if clip.clip_id not in position]
    assert not missing, f"no frames for clips {missing[:3]} (two ids with one hash? change --seed)"
    ordered = frames.take(pa.array([position[clip.clip_id] for clip in clips], pa.int64()))
    return pa.table(
        {
            "split": pa.array([clip.split for clip in clips], pa.string()),
            "clip_id": ordered["clip_id"],
            "frames": ordered["frames"].cast(pa.list_(pa.binary())),
            "frame_seconds": ordered["frame_seconds"].cast(pa.list_(pa.float64())),
            "captions": pa.array(
                [_captions(clip) for clip in clips], schema.SHARDS.field("captions").type
            ),
        },
        schema=schema.SHARDS,
    )


def _captions(clip: ClipTexts) -> list[Mapping[str, Any]]:
    fields = ("text", "source", "trusted", "concept_ids", "keep_probability")
    return [{name: getattr(text, name) for name in fields} for text in clip.kept()]


def rejects_of(clip: ClipTexts) -> list[Reject]:
    """One reject per text that is not kept; a clip without any text is one itself."""
    if not clip.texts:
        return [_reject(clip.clip_id, "no_text", "")]
    return [
        _reject(text.id, text.reason, _detail(text.reason, text.keep_probability) + text.text)
        for text in clip.texts
        if text.reason is not None
    ]


def _detail(reason: str, probability: float) -> str:
    return f"(keep probability {probability:.4f}) " if reason == "head_dropped" else ""


def _reject(identity: str, reason: str, text: str) -> Reject:
    why = reason_of("balance", reason).text
    return Reject.of("balance", reason, id=identity, message=f"{why}: {text}" if text else why)


def num_items(clip: ClipTexts) -> int:
    """How many accounted items a clip is: its texts, or itself when it has none."""
    return max(1, len(clip.texts))
