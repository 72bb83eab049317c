"""Captions that were rejected, with what the clip shows; and captions that were cleaned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mama_augment.balance.source.inputs import Inputs
from mama_augment.people.report.samples import frames_of, grid_uri, videos_of

PER_REASON = 2
MAX_REJECTED = 8
MAX_CLEANED = 6
MAX_ROWS = 200_000
"""Captions that are looked through for examples."""
COLUMNS = ["clip_id", "text", "raw_text", "status", "reason"]


@dataclass(frozen=True, kw_only=True)
class RejectedSample:
    """What a model said of a clip, and why it was not taken."""

    clip_id: str
    file: str
    reason: str
    said: str
    grid_uri: str
    """data: URI of a JPEG; empty when no frame decodes."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A caption before and after its wrapping was taken off."""

    said: str
    kept: str


def pick_judged(inputs: Inputs) -> tuple[list[RejectedSample], list[Cleaned]]:
    """Up to two rejected captions of each reason, and a few cleaned ones."""
    rejected: list[dict[str, Any]] = []
    cleaned: list[Cleaned] = []
    per_reason: Counter[str] = Counter()
    for row in _captions(inputs):
        said = (row["raw_text"] or "").strip()
        if row["status"] == "ok":
            if said != row["text"] and len(cleaned) < MAX_CLEANED:
                cleaned.append(Cleaned(said=said, kept=row["text"]))
        elif per_reason[row["reason"]] < PER_REASON and len(rejected) < MAX_REJECTED:
            per_reason[row["reason"]] += 1
            rejected.append({**row, "said": said})
    ids = {row["clip_id"] for row in rejected}
    frames, videos = frames_of(inputs.clips.units(), ids), videos_of(inputs.clips, ids)
    samples = [
        RejectedSample(
            clip_id=row["clip_id"],
            file=videos.get(row["clip_id"], ""),
            reason=row["reason"] or "unknown",
            said=row["said"],
            grid_uri=grid_uri(frames.get(row["clip_id"], [])),
        )
        for row in rejected
    ]
    return samples, cleaned


def _captions(inputs: Inputs) -> Iterator[dict[str, Any]]:
    num_rows = 0
    for captions in inputs.captions:
        for table in captions.tables(COLUMNS):
            yield from table.to_pylist()
            num_rows += table.num_rows
            if num_rows >= MAX_ROWS:
                return
