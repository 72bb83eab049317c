"""Video question answering on a published set: MSVD-QA, MSRVTT-QA, NExT-QA, TGIF-QA, Causal-VidQA.

    python pipelines/video_qa.py next-qa ANNOTATIONS VIDEOS --out next-qa --captioner llava

NAME is one of `mama-augment dataset`; ANNOTATIONS holds its files as they are published. Questions
with options are chosen from (qa-choice), others are answered from a vocabulary (qa-open). The meta
set is drawn from the training videos, and so is a val set where none was published. With
`--backbone vgt-tiny` or `vgt:FOLDER`, regions are found, too. Kill it and run it again: it
continues.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from commands import run
from training import train


def main(
    name: Annotated[str, typer.Argument(help="The data set.")],
    annotations: Annotated[Path, typer.Argument(help="Folder of its published annotations.")],
    videos: Annotated[Path, typer.Argument(help="Folder of its videos.")],
    out: Annotated[Path, typer.Option(help="Everything goes below this folder.")] = Path("qa"),
    part: Annotated[str, typer.Option(help="A division of it, such as frameqa.")] = "",
    captioner: Annotated[str, typer.Option(help="As caption --model, or none.")] = "llava",
    backbone: Annotated[str, typer.Option(help="As mama-train run --model.")] = "small",
    regions: Annotated[str, typer.Option(help="As regions --model, for VGT.")] = "rf-detr",
    steps: Annotated[int, typer.Option(help="Training steps.")] = 10_000,
    seeds: Annotated[int, typer.Option(help="Trainings, each with a seed of its own.")] = 1,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train without margin and weights, too.")
    ] = False,
) -> None:
    """Manifest, key frames, captions, regions, shards, training."""
    out.mkdir(parents=True, exist_ok=True)
    manifest, clips, shards = out / "manifest.parquet", out / "clips", out / "shards"
    run(
        "mama-augment", "dataset", name, annotations, videos, "--out", manifest,
        *(("--part", part) if part else ()),
    )  # fmt: skip
    failed = run("mama-augment", "keyframes", manifest, "--out", clips)
    inputs, more = [clips], []
    if captioner != "none":
        inputs.append(out / "captions")
        failed |= run("mama-augment", "caption", clips, "--out", inputs[-1], "--model", captioner)
    if backbone.startswith("vgt"):
        more = ["--regions", out / "regions"]
        failed |= run("mama-augment", "regions", clips, "--out", more[-1], "--model", regions)
    failed |= run("mama-augment", "balance", *inputs, "--out", shards, *more)
    settings = {"task": task_of(manifest), "model": backbone, "steps": steps}
    train(out, shards, settings, seeds=seeds, compare=compare)
    sys.exit(failed)


def task_of(manifest: Path) -> str:
    """qa-choice where every question has options."""
    questions = pc.list_flatten(pq.read_table(manifest)["questions"])
    has_options = pc.is_valid(pc.struct_field(questions, "options"))
    return "qa-choice" if pc.all(has_options).as_py() else "qa-open"


if __name__ == "__main__":
    typer.run(main)
