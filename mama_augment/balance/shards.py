"""Write decided rows as training shards, each with its pixels from the scratch files.

Memory holds one shard per worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mama_augment.balance.corpus import ClipTexts, read_clips
from mama_augment.balance.questions import COLUMN, kept_questions
from mama_augment.balance.source.frames import Frames, Regions
from mama_augment.balance.source.video_splits import video_key
from mama_augment.core import schema
from mama_augment.core.ledger import Reject
from mama_augment.core.reasons import reason_of
from mama_augment.core.store.step_dir import StepDir

DROPPED = "dropped"


def rows_path(scratch: Path, unit_id: str) -> Path:
    return scratch / f"rows-{unit_id}.arrow"


@dataclass(frozen=True, kw_only=True)
class ShardWorker:
    """Commits a unit from its decided rows and their frames."""

    out: StepDir
    scratch: Path
    frames: Frames
    with_agreement: bool = False
    """Captions have the column, null where they have no score."""
    regions: Regions | None = None
    with_videos: bool = False

    def run_unit(self, unit_id: str) -> int:
        clips = read_clips(rows_path(self.scratch, unit_id))
        rejects = [reject for clip in clips for reject in rejects_of(clip)]
        if unit_id.startswith(DROPPED):
            return self.out.commit(unit_id, None, rejects).num_in
        orders = {clip.clip_id: clip.order for clip in clips}
        rows = self.frames.rows(orders)
        if self.regions is not None:
            name = schema.REGIONS_COLUMN.name
            rows = rows.append_column(name, self.regions.rows(orders)[name])
        if self.with_videos:
            videos = [video_key(clip.video) for clip in clips]
            rows = rows.append_column(schema.VIDEO_KEY, [pa.array(videos, pa.uint64())])
        table = shard_table(clips, rows, with_agreement=self.with_agreement)
        split = unit_id.rpartition("-")[0]
        return self.out.commit(unit_id, table, rejects, subfolder=split).num_in

    def close(self) -> None:
        """Nothing is held between units."""


def shard_table(
    clips: Sequence[ClipTexts], frames: pa.Table, *, with_agreement: bool = False
) -> pa.Table:
    """Rows of one shard, in the order of `clips`, as those of `frames` are; what `frames` has of a
    clip stays byte for byte as it was."""
    extras = ("agreement",) if with_agreement else ()
    told = schema.captions_field(extras)
    columns = {
        "split": pa.array([clip.split for clip in clips], pa.string()),
        **{name: frames[name] for name in frames.column_names},
        "captions": pa.array([_captions(clip, extras) for clip in clips], told.type),
    }
    if COLUMN in columns:
        columns[COLUMN] = kept_questions(frames[COLUMN], clips)
    like = schema.shards_like(pa.schema([(name, column.type) for name, column in columns.items()]))
    return pa.table([columns[field.name].cast(field.type) for field in like], schema=like)


def _captions(clip: ClipTexts, extras: Sequence[str]) -> list[Mapping[str, Any]]:
    fields = ("text", "source", "trusted", "concept_ids", "keep_probability", *extras)
    captions = (text for text in clip.kept() if not text.is_question)
    return [{name: getattr(text, name) for name in fields} for text in captions]


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
