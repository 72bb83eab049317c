"""HowTo100M on a Ray cluster: spoken narrations as texts, captions spent where concepts are rare.

    ray start --head …                      # and `ray start --address …` on the other nodes
    python pipelines/howto100m_ray.py raw_caption.json --video-root s3://bucket/howto100m \
        --out s3://bucket/work --ray-address auto --budget 2000000

raw_caption.json (published: video id → start, end, text of every narrated stretch) becomes a
manifest in which neighbouring stretches are joined to clips of `--clip-seconds`. Narration seldom
says what is seen, so it is not trusted; `--meta-manifest` names clips that are, for the meta set.
`plan` spends the budget of captions on rare concepts, and `caption` follows it: the GPUs never see
the head. Training runs where you choose, on `OUT/shards`. Kill it and run it again: it continues.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import typer
from commands import run

MANIFEST_SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("clip_id", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("trusted", pa.bool_()),
        ("split", pa.string()),
    ]
)


def main(
    narrations: Annotated[Path, typer.Argument(help="raw_caption.json")],
    video_root: Annotated[str, typer.Option(help="Folder or URI of the videos.")],
    out: Annotated[str, typer.Option(help="Folder or URI for all that is made.")],
    budget: Annotated[int, typer.Option(help="Captions to generate.")],
    meta_manifest: Annotated[
        Path | None, typer.Option(help="csv of trusted clips; see docs/data-format.md.")
    ] = None,
    model: Annotated[str, typer.Option(help="The captioner.")] = "llava",
    ray_address: Annotated[str, typer.Option(help="local: Ray is started here.")] = "auto",
    workers: Annotated[int, typer.Option(help="Decoders in the cluster.")] = 64,
    replicas: Annotated[int, typer.Option(help="Captioners in the cluster.")] = 8,
    clip_seconds: Annotated[float, typer.Option(help="Least length of a clip.")] = 10.0,
    num_concepts: Annotated[int, typer.Option(help="Topics of the narrations.")] = 200,
    suffix: Annotated[str, typer.Option(help="Of the video files.")] = ".mp4",
) -> None:
    """Manifest, key frames, plan, captions and shards."""
    clips, captions, shards = (f"{out}/{name}" for name in ("clips", "captions", "shards"))
    plan = Path("howto100m-plan.parquet") if "://" in out else Path(out, "plan.parquet")
    manifest = plan.with_name("howto100m-manifest.parquet")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, narrations, meta_manifest, clip_seconds, suffix)
    address = ("--ray-address", ray_address) if ray_address != "local" else ()
    cluster = ("--runtime", "ray", *address)
    failed = run(
        "mama-augment", "keyframes", manifest, "--video-root", video_root, "--out", clips,
        "--strategy", "auto", "--workers", workers, *cluster,
    )  # fmt: skip
    concepts = ("--concepts", "topics", "--num-concepts", num_concepts)
    if not plan.exists():
        failed |= run("mama-augment", "plan", clips, "--budget", budget, "--out", plan, *concepts)
    failed |= run(
        "mama-augment", "caption", clips, "--out", captions, "--model", model, "--plan", plan,
        "--replicas", replicas, *cluster,
    )  # fmt: skip
    failed |= run("mama-augment", "balance", clips, captions, "--out", shards, *concepts)
    sys.exit(failed)


def write_manifest(
    path: Path, narrations: Path, meta_manifest: Path | None, clip_seconds: float, suffix: str
) -> None:
    """The narrated clips, a row group at a time, then the trusted ones with split `meta`."""
    partial = path.with_suffix(".part")
    with pq.ParquetWriter(partial, MANIFEST_SCHEMA) as writer:
        for video_id, narrated in json.loads(narrations.read_text()).items():
            rows = list(clip_rows(video_id + suffix, video_id, narrated, clip_seconds))
            writer.write_table(pa.Table.from_pylist(rows, MANIFEST_SCHEMA))
        if meta_manifest is not None:
            given = pyarrow.csv.read_csv(meta_manifest).to_pylist()
            rows = [{**row, "trusted": True, "split": "meta"} for row in given]
            writer.write_table(pa.Table.from_pylist(rows, MANIFEST_SCHEMA))
    partial.replace(path)


def clip_rows(
    video: str, video_id: str, narrated: dict[str, list[Any]], clip_seconds: float
) -> Iterator[dict[str, Any]]:
    """Neighbouring stretches joined until a clip is long enough; what overlaps is kept once."""
    stretches = zip(narrated["start"], narrated["end"], narrated["text"], strict=True)
    start, end, texts, number = None, 0.0, [], 0
    for first, last, text in sorted(stretches):
        if start is None:
            start = max(float(first), end)
        texts.append(str(text).strip())
        end = max(end, float(last))
        if end - start >= clip_seconds:
            yield clip_row(video, f"{video_id}-{number:05d}", start, end, texts)
            start, texts, number = None, [], number + 1
    if start is not None and end > start:
        yield clip_row(video, f"{video_id}-{number:05d}", start, end, texts)


def clip_row(
    video: str, clip_id: str, start: float, end: float, texts: list[str]
) -> dict[str, Any]:
    return {
        "video": video,
        "clip_id": clip_id,
        "start_seconds": start,
        "end_seconds": end,
        "text": " ".join(texts),
        "source": "narration",
        "trusted": False,
        "split": None,
    }


if __name__ == "__main__":
    typer.run(main)
