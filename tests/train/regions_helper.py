"""Regions of moving squares beside the questions about them, made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.schema import REGIONS
from tests.train.shards_helper import COLOURS, WAYS

CLIPS, FRAMES, REGIONS_PER_FRAME, WIDTH = 3, 2, 2, 5
EXTRACTOR = "truth+pixels"


def regions_of(colour: str, way: str, rng: np.random.Generator) -> dict[str, Any]:
    """A square that goes its way, and in every other frame a grey thing that stands still; the
    vectors say which colour each has."""
    dx, dy = WAYS[way]
    shape = (CLIPS * FRAMES, REGIONS_PER_FRAME)
    boxes, vectors = np.zeros((*shape, 4)), 0.1 * rng.normal(size=(*shape, WIDTH))
    is_region = np.ones(shape, bool)
    for i, share in enumerate(np.linspace(-0.3, 0.3, CLIPS * FRAMES)):
        x, y = 0.5 + dx * share, 0.5 + dy * share
        boxes[i] = (x - 0.1, y - 0.1, x + 0.1, y + 0.1), (0.0, 0.0, 0.2, 0.2)
        vectors[i, 0, list(COLOURS).index(colour)] += 1
        vectors[i, 1, 4] += 1
        is_region[i, 1] = i % 2 == 0
        if i % 3 == 1:  # detectors give regions in any order
            boxes[i], vectors[i], is_region[i] = (
                boxes[i, ::-1],
                vectors[i, ::-1],
                is_region[i, ::-1],
            )
    return {
        "extractor": EXTRACTOR,
        "width_px": 64,
        "height_px": 48,
        "num_clips": CLIPS,
        "num_frames": FRAMES,
        "num_regions": REGIONS_PER_FRAME,
        "boxes": boxes.astype(np.float32).ravel().tolist(),
        "scores": np.ones(shape, np.float32).ravel().tolist(),
        "is_region": is_region.ravel().tolist(),
        "vectors": vectors.astype(np.float16).ravel(),
        "frame_vectors": np.zeros(CLIPS * FRAMES * WIDTH, np.float16),
    }


def add_regions(shards: Path) -> Path:
    """Put a column of regions into the shards of `write_question_shards`."""
    for file in sorted(shards.glob("*/*.parquet")):
        table = pq.read_table(file)
        rng = np.random.default_rng(0)
        rows = []
        for row in table.to_pylist():
            _, colour, _, _, way, *_ = row["captions"][0]["text"].split()
            rows.append(regions_of(colour, way, rng))
        place = table.schema.get_field_index("captions")
        column = pa.array(rows, REGIONS)
        table = table.add_column(place, pa.field("regions", REGIONS), column)
        pq.write_table(table, file, row_group_size=8)
    return shards
