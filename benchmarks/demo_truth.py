"""The demo's training shards, with the truth of its world in every caption.

    mama-augment demo --out demo
    python benchmarks/demo_truth.py demo demo/shards-truth
    mama-train compare benchmarks/demo_arms.toml --out demo-arms

`balance` does not know which captions are wrong; the world does. The shards that this writes are
the demo's, with `captions.is_aligned`: whether a train caption says what its video shows. So runs
can record what weight wrong pairs get, and `--weights oracle` can be an arm.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.schema import CAPTION, SPLITS, is_generated
from mama_augment.shapes.world.scene import parse_caption


def is_aligned(caption: dict[str, Any], truth: dict[str, str]) -> bool:
    """Of a human caption the world says it; a generated one is right where it names the scene."""
    if not is_generated(caption["source"]):
        return truth["misaligned"] == "false"
    said = parse_caption(caption["text"])
    return said is not None and said.caption == truth["true_caption"]


def with_truth(table: pa.Table, truth: dict[str, dict[str, str]]) -> pa.Table:
    """The same rows, whose captions say whether they are of their clips."""
    captions = [
        [c | {"is_aligned": is_aligned(c, truth[row["clip_id"]])} for c in row["captions"]]
        for row in table.select(["clip_id", "captions"]).to_pylist()
    ]
    kind = pa.list_(pa.struct([*CAPTION, pa.field("is_aligned", pa.bool_(), nullable=False)]))
    place = table.schema.get_field_index("captions")
    return table.set_column(place, pa.field("captions", kind), pa.array(captions, kind))


def main(demo: Path, out: Path) -> None:
    with (demo / "world/manifest.csv").open() as file:
        truth = {row["clip_id"]: row for row in csv.DictReader(file)}
    counts = {False: 0, True: 0}
    for split in SPLITS:
        (out / split).mkdir(parents=True, exist_ok=True)
        for path in sorted((demo / "shards" / split).glob("*.parquet")):
            table = with_truth(pq.read_table(path), truth)
            pq.write_table(table, out / split / path.name, compression="zstd")
            if split == "train":
                for captions in table["captions"].to_pylist():
                    for caption in captions:
                        counts[caption["is_aligned"]] += 1
    shutil.copy(demo / "shards/concepts.json", out / "concepts.json")
    print(f"{sum(counts.values())} train captions, {counts[False]} of another scene")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
