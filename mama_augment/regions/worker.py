"""Does one unit: frames of every clip, their regions and vectors, rows and rejects.

Shapes: C clips of F frames, R regions of a frame, W numbers per vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.core.breaker import Breaker
from mama_augment.core.ledger import Reject
from mama_augment.core.schema import REGIONS
from mama_augment.core.shared.jpeg import decode_jpeg
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError
from mama_augment.keyframes.config import ClipFrames
from mama_augment.regions.base import (
    Detector,
    Found,
    NoRegionsError,
    Shown,
    Vectors,
    best,
)
from mama_augment.regions.config import STEP, RegionsConfig
from mama_augment.regions.published import COLUMNS, PREFIX, PublishedFeatures
from mama_augment.regions.registry import make_detector, make_vectors
from mama_augment.runtime.isolate import IsolationError

EXTRACT = "mama_augment.keyframes.extract:extract_clip"
SPAN = ["clip_id", "video_uri", "start_seconds", "end_seconds"]
SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video_uri", pa.string(), nullable=False),
        pa.field("frame_seconds", pa.list_(pa.float64()), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("regions", REGIONS, nullable=False),
    ]
)


class RegionsWorker:
    """See `core.step.UnitWorker`."""

    def __init__(
        self, step_dir: StepDir, sources: Mapping[str, CommittedUnit], config: RegionsConfig
    ) -> None:
        self._step_dir, self._sources, self._config = step_dir, sources, config
        self._extract = config.isolated(EXTRACT, ClipFrames)
        self._breaker = Breaker(STEP, self._still_works)
        self._witness: Mapping[str, Any] | None = None
        self._models: tuple[Detector, Vectors] | None = None
        self._published: PublishedFeatures | None = None
        if config.is_published:
            folder = Path(config.model.removeprefix(PREFIX))
            self._published = PublishedFeatures(folder, config.num_regions)

    def run_unit(self, unit_id: str) -> int:
        columns = COLUMNS if self._published is not None else self._loaded()[0].columns
        table = self._sources[unit_id].table([*SPAN, *columns])
        rows, rejects = [], []
        earlier, left_before = self._earlier(unit_id)
        for clip in table.to_pylist():
            clip_id = clip["clip_id"]
            if clip_id in earlier:
                rows.append(earlier[clip_id])
                continue
            if clip_id in left_before:
                rejects.append(left_before[clip_id])
                continue
            try:
                rows.append(self._row(clip))
                self._witness = clip
            except (ClipError, IsolationError, NoRegionsError) as error:
                why = {"id": clip_id, "message": error.message, "attempts": 1}
                rejects.append(Reject.of(STEP, error.reason, **why))
        made = pa.concat_tables(rows).combine_chunks() if rows else None
        self._step_dir.commit(unit_id, made, rejects)
        reasons = [reject.reason for reject in rejects if reject.id not in left_before]
        num_tried = len(table) - len(earlier) - len(left_before)
        example = rejects[-1].message if rejects else ""
        self._breaker.see(reasons, num_tried, table["video_uri"].to_pylist(), example)
        return len(table)

    def _earlier(self, unit_id: str) -> tuple[dict[str, pa.Table], dict[str, Reject]]:
        """What stands of a unit that is done again for its failures; of one whose clips have
        changed, nothing."""
        record = self._step_dir.before(unit_id)
        digest = self._step_dir.manifest.digests.get(unit_id)
        if record is None or record.input_digest != digest:
            return {}, {}
        table = self._step_dir.read_data(record)
        rows: dict[str, pa.Table] = {}
        if table is not None:
            table = table.cast(SCHEMA).replace_schema_metadata(None)
            ids = enumerate(table["clip_id"].to_pylist())
            rows = {clip_id: table.slice(place, 1) for place, clip_id in ids}
        stand = {r.id: r for r in self._step_dir.read_rejects(record) if r.verdict == "rejected"}
        return rows, stand

    def _still_works(self) -> bool:
        if self._witness is None or self._published is not None:
            return self._published is not None
        try:
            self._frames(self._witness)
        except (ClipError, IsolationError):
            return False
        return True

    def _loaded(self) -> tuple[Detector, Vectors]:
        if self._models is None:
            config = self._config
            self._models = make_detector(config.model), make_vectors(config.vectors)
        return self._models

    def _frames(self, clip: Mapping[str, Any]) -> ClipFrames:
        span = Span(start_seconds=clip["start_seconds"], end_seconds=clip["end_seconds"])
        found: ClipFrames = self._extract(clip["video_uri"], span, self._config.clip_config())
        return found

    def _row(self, clip: Mapping[str, Any]) -> pa.Table:
        """
        Raises:
            ClipError, IsolationError, NoRegionsError: there are no frames, or no regions.
        """
        if self._published is not None:
            return self._table(clip, [], [], self._published.row(clip))
        given, num = self._frames(clip), self._config.frames_wanted
        which = [int((i + 0.5) * len(given.frames) / num) for i in range(num)]
        pictures = [decode_jpeg(jpeg) for jpeg in given.frames]
        seconds = [given.frame_seconds[i] for i in which]
        detector, vectors = self._loaded()
        of_each = detector.find(Shown(frames=pictures, seconds=given.frame_seconds, row=clip))
        found = [self._best(regions) for regions in of_each]
        made = vectors.of(pictures, found)
        height, width = pictures[0].shape[:2]
        regions = packed(
            [found[i] for i in which], [made[i] for i in which], self._config, (width, height)
        )
        labels = [name for i in which for name in self._padded(found[i].labels)]
        return self._table(clip, seconds, labels, regions)

    def _table(
        self,
        clip: Mapping[str, Any],
        seconds: Sequence[float],
        labels: Sequence[str],
        regions: Mapping[str, Any],
    ) -> pa.Table:
        row = {"clip_id": clip["clip_id"], "video_uri": clip["video_uri"]}
        row |= {"frame_seconds": seconds, "labels": labels, "regions": regions}
        return pa.Table.from_pylist([row], SCHEMA)

    def _best(self, regions: Found) -> Found:
        config = self._config
        how = {"overlap": config.overlap, "least_score": config.least_score}
        return best(regions, config.num_regions, **how)

    def _padded(self, labels: Sequence[str]) -> list[str]:
        return [*labels, *[""] * (self._config.num_regions - len(labels))]

    def close(self) -> None:
        self._extract.close()


def packed(
    found: Sequence[Found],
    made: Sequence[tuple[Any, Any]],
    config: RegionsConfig,
    size: tuple[int, int],
) -> dict[str, Any]:
    """One row's `core.schema.REGIONS`, of C · F frames; holes are zero."""
    num, width = config.num_regions, len(made[0][1])
    boxes = np.zeros((len(found), num, 4), np.float32)
    scores = np.zeros((len(found), num), np.float32)
    vectors = np.zeros((len(found), num, width), np.float16)
    for i, (regions, (own, _)) in enumerate(zip(found, made, strict=True)):
        there = len(regions.scores_N)
        boxes[i, :there], scores[i, :there] = regions.boxes_N4, regions.scores_N
        vectors[i, :there] = own
    is_region = np.arange(num) < np.array([[len(regions.scores_N)] for regions in found])
    return {
        "extractor": f"{_last(config.model)}+{_last(config.vectors)}",
        "width_px": size[0],
        "height_px": size[1],
        "num_clips": config.num_clips,
        "num_frames": config.num_frames,
        "num_regions": num,
        "boxes": boxes.ravel(),
        "scores": scores.ravel(),
        "is_region": is_region.ravel(),
        "vectors": vectors.ravel(),
        "frame_vectors": np.stack([frame for _, frame in made]).astype(np.float16).ravel(),
    }


def _last(name: str) -> str:
    """A folder by its own name, wherever it lies."""
    return name.rstrip("/").rpartition("/")[2]
