"""Training shards of moving squares, made in a moment: what a square does is its caption."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.schema import SHARDS, SPLITS

COLOURS = {"red": (230, 30, 30), "green": (30, 200, 60), "blue": (40, 60, 230), "white": (250,) * 3}
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
NAMES = [f"{colour} {way}" for colour in COLOURS for way in WAYS]


def frames_of(name: str, rng: np.random.Generator, num_frames: int) -> list[bytes]:
    """A square of a colour that crosses a grey frame one way, as JPEG files."""
    colour, way = name.split()
    dx, dy = WAYS[way]
    start = np.array([32 - 20 * dx, 32 - 20 * dy]) + rng.integers(-6, 7, 2)
    files = []
    for share in np.linspace(0, 1, num_frames):
        image = np.full((64, 64, 3), rng.integers(70, 110), np.uint8)
        x, y = (start + 40 * share * np.array([dx, dy])).astype(int).tolist()
        cv2.rectangle(image, (x - 7, y - 7), (x + 7, y + 7), COLOURS[colour][::-1], -1)
        files.append(cv2.imencode(".jpg", image)[1].tobytes())
    return files


def with_agreement_field(schema: pa.Schema) -> pa.Schema:
    """The schema of shards whose captions have been scored."""
    place = schema.get_field_index("captions")
    caption = pa.struct([*schema.field(place).type.value_type, pa.field("agreement", pa.float32())])
    return schema.set(place, pa.field("captions", pa.list_(caption), nullable=False))


def write_shards(
    out: Path,
    sizes: dict[str, int],
    *,
    captions_per_clip: int = 2,
    num_frames: int = 6,
    row_group: int = 8,
    seed: int = 0,
    noise: float = 0.0,
    with_agreement: bool = False,
) -> Path:
    """Shards with the given number of clips per split; the first caption of a train clip is
    human, at the `noise` rate about something else, the others are generated.

    Concept i is NAMES[i]; frequencies in concepts.json count the training captions. With agreement,
    the captions of a clip agree less and less, and every fifth clip's have no score.
    """
    schema = with_agreement_field(SHARDS) if with_agreement else SHARDS
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(NAMES), int)
    for split in SPLITS:
        rows = []
        for i in range(sizes.get(split, 0)):
            name = NAMES[i % len(NAMES)]
            captions = []
            for j in range(captions_per_clip if split == "train" else 1):
                is_noisy = split == "train" and j == 0 and rng.random() < noise
                about = NAMES[rng.integers(len(NAMES))] if is_noisy else name
                colour, way = about.split()
                captions.append(
                    {
                        "text": f"a {colour} square moves {way}" + (" slowly" if j % 2 else ""),
                        "source": "generated:test" if j else "human",
                        "trusted": split != "train",
                        "concept_ids": [NAMES.index(about)],
                        "keep_probability": 1.0,
                        "agreement": None if i % 5 == 4 else 0.3 - 0.1 * j,
                    }
                )
                counts[NAMES.index(about)] += split == "train"
            rows.append(
                {
                    "split": split,
                    "clip_id": f"{split}-{i:04d}",
                    "frames": frames_of(name, rng, num_frames),
                    "frame_seconds": list(np.arange(num_frames) / 2),
                    "captions": captions,
                }
            )
        if rows:
            (out / split).mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows, schema)
            half = len(rows) // 2 + 1
            for k, part in enumerate((table[:half], table[half:])):
                if part.num_rows:
                    pq.write_table(part, out / split / f"{k:03d}.parquet", row_group_size=row_group)
    concepts = [
        {"id": i, "name": n, "num_before": int(counts[i]), "num_after": int(counts[i])}
        for i, n in enumerate(NAMES)
    ]
    (out / "concepts.json").write_text(json.dumps(concepts))
    return out
