"""MSR-VTT, split 1k-A: 9,000 train videos with 20 captions each, 1,000 test videos with one.

    python pipelines/msrvtt.py VIDEOS ANNOTATIONS --out msrvtt --model llava \
        --backbone CLIP_OR_CLIP_VIP_FOLDER

VIDEOS holds video0.mp4 …; ANNOTATIONS holds MSRVTT_data.json, MSRVTT_train.9k.csv and
MSRVTT_JSFUSION_test.csv as they are published. 1k-A has no validation part and no unbiased set:
`balance` draws both from the train videos (human captions are trusted), disjoint from the rest.
Kill it and run it again: it continues.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from commands import check_ready, run
from training import room_for_shards, train, write_report

from mama_augment.core.shared.say import say

MANIFEST_COLUMNS = ("video", "clip_id", "text", "trusted", "split")


def main(
    videos: Annotated[Path, typer.Argument(help="Folder of video0.mp4, video1.mp4, …")],
    annotations: Annotated[Path, typer.Argument(help="Folder of the published annotations.")],
    out: Annotated[Path, typer.Option(help="Everything goes below this folder.")] = Path("msrvtt"),
    model: Annotated[str, typer.Option(help="The captioner.")] = "llava",
    backbone: Annotated[str, typer.Option(help="As mama-train run --model.")] = "small",
    num_captions: Annotated[int, typer.Option(help="Generated per clip.")] = 1,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 10_000,
    seeds: Annotated[int, typer.Option(help="Trainings, each with a seed of its own.")] = 1,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train without margin and weights, too.")
    ] = False,
) -> None:
    """Manifest, key frames, captions, shards, training on MSR-VTT 1k-A."""
    out.mkdir(parents=True, exist_ok=True)
    manifest, clips, captions, shards = (
        out / name for name in ("manifest.csv", "clips", "captions", "shards")
    )
    write_manifest(manifest, annotations)
    check_ready(manifest, out, model=model, video_root=videos)
    failed = run(
        "mama-augment", "keyframes", manifest, "--video-root", videos, "--out", clips
    )  # fmt: skip
    sampling = ("--num-captions", num_captions, "--temperature", 0.2 if num_captions == 1 else 0.7)
    failed |= run("mama-augment", "caption", clips, "--out", captions, "--model", model, *sampling)
    kept = room_for_shards(shards, clips, captions, out / "run", out / "runs")
    failed |= run(
        "mama-augment", "balance", clips, captions, "--out", shards,
        "--concepts", "vocabulary", "--test-size", 0, *kept,
    )  # fmt: skip
    settings = {"model": backbone, "steps": steps}
    sections = train(out, shards, settings, seeds=seeds, compare=compare)
    say(f"report: {write_report(out, clips, captions, sections)}")
    sys.exit(failed)


def write_manifest(path: Path, annotations: Path) -> None:
    """One row per caption; those of a video become one clip with several texts."""
    for name in ("MSRVTT_data.json", "MSRVTT_train.9k.csv", "MSRVTT_JSFUSION_test.csv"):
        if not (annotations / name).is_file():
            raise typer.BadParameter(f"{annotations} has no {name}")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, MANIFEST_COLUMNS)
        writer.writeheader()
        writer.writerows(manifest_rows(annotations))


def manifest_rows(annotations: Path) -> Iterator[dict[str, Any]]:
    """Train rows have no split of their own, so that meta and val rows may be drawn from them."""
    train = {row["video_id"] for row in read_csv(annotations / "MSRVTT_train.9k.csv")}
    sentences = json.loads((annotations / "MSRVTT_data.json").read_text())["sentences"]
    for sentence in sentences:
        if sentence["video_id"] in train:
            yield row_of(sentence["video_id"], sentence["caption"], split="")
    for row in read_csv(annotations / "MSRVTT_JSFUSION_test.csv"):
        yield row_of(row["video_id"], row["sentence"], split="test")


def row_of(video_id: str, text: str, split: str) -> dict[str, Any]:
    return {
        "video": f"{video_id}.mp4",
        "clip_id": video_id,
        "text": text,
        "trusted": "true",
        "split": split,
    }


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    typer.run(main)
