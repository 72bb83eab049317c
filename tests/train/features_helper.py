"""Training shards of vectors, made in a moment: a clip's vectors and words say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.schema import CAPTION, SPLITS

WIDTH = 5
WORDS = ("runs", "swims", "sings", "falls", "hides", "waits")
PER_FRAME = pa.list_(pa.list_(pa.float32(), WIDTH))


def write_feature_shards(
    out: Path,
    sizes: dict[str, int],
    *,
    column: str = "features",
    kind: pa.DataType = PER_FRAME,
    changed: dict[int, Any] | None = None,
    noise: float | None = None,
) -> Path:
    """Shards without frames. kind: the column's type; a list of lists has three vectors per clip.
    changed: values of train rows by number. noise: share of train captions of another clip; with
    it, captions say whether they are aligned."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(len(WORDS), WIDTH)) * 2
    caption = (
        CAPTION if noise is None else pa.struct([*CAPTION, pa.field("is_aligned", pa.bool_())])
    )
    schema = pa.schema({"clip_id": pa.string(), column: kind, "captions": pa.list_(caption)})
    is_nested = kind.value_type not in (pa.float16(), pa.float32(), pa.float64(), pa.int32())
    for split in SPLITS:
        rows: list[dict[str, Any]] = []
        for i in range(sizes.get(split, 0)):
            what = i % len(WORDS)
            is_wrong = split == "train" and noise is not None and rng.random() < noise
            told = (what + 1) % len(WORDS) if is_wrong else what
            vectors = means[what] + 0.1 * rng.normal(size=(3, WIDTH))
            value: Any = list(vectors) if is_nested else vectors.mean(0)
            if kind.value_type == pa.float16():
                value = value.astype(np.float16)
            about = {"text": f"a dog {WORDS[told]}", "source": "human", "trusted": split != "train"}
            about |= {"concept_ids": [told], "keep_probability": 1.0, "is_aligned": not is_wrong}
            rows.append({"clip_id": f"{split}-{i}", column: value, "captions": [about]})
            if split == "train" and i in (changed or {}):
                rows[-1][column] = (changed or {})[i]
        if rows:
            (out / split).mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows, schema)
            pq.write_table(table, out / split / "000.parquet", row_group_size=4)
    concepts = [{"id": i, "name": w, "num_before": 9, "num_after": 9} for i, w in enumerate(WORDS)]
    (out / "concepts.json").write_text(json.dumps(concepts))
    return out
