"""The whole method on a generated world, on a CPU: what `make demo` runs.

    python pipelines/shapes_cpu.py --out demo

Videos of moving shapes with noisy human captions → key frames → captions by the bundled tiny
LLaVA → balanced shards → trainings over several seeds, each part of the method beside plain
contrastive training on the captions that came → one HTML report. Kill it and run it again: every
step continues.
"""

from __future__ import annotations

import csv
import statistics
import time
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from commands import run
from training import SIDE_BY_SIDE, train_arms, write_report

from mama_augment.core.shared import say

ARMS: dict[str, dict[str, Any]] = {
    "human, plain contrastive": {**SIDE_BY_SIDE["contrastive"], "sources": "human"},
    "human, margin and weights": {"sources": "human"},
    "generated, margin and weights": {"sources": "generated"},
}
"""What came with the videos; the method's margin and weights on it; its captions instead."""


def main(
    out: Annotated[Path, typer.Option(help="Everything goes below this folder.")] = Path("demo"),
    num_videos: Annotated[int, typer.Option(help="Train videos of the world.")] = 1000,
    steps: Annotated[int, typer.Option(help="Training steps of each run.")] = 400,
    num_seeds: Annotated[int, typer.Option(help="Training runs of each arm.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the world; training seeds count from 0.")] = 7,
    quick: Annotated[bool, typer.Option("--quick", help="A fifth of it all.")] = False,
    open_report: Annotated[
        bool, typer.Option("--open", help="Show the report in a browser at the end.")
    ] = False,
) -> None:
    """Make a world, run every step on it, train all arms, write the report."""
    started = time.monotonic()
    if quick:
        num_videos, steps, num_seeds = num_videos // 5, steps // 5, 1
    world, clips, captions, shards = (out / n for n in ("world", "clips", "captions", "shards"))
    run(
        "mama-augment", "shapes", world, "--scenes", "few", "--num-videos", num_videos,
        "--seed", seed,
    )  # fmt: skip
    run("mama-augment", "keyframes", world / "manifest.csv", "--out", clips)
    run("mama-augment", "caption", clips, "--out", captions, "--model", "llava-shapes")
    vocabulary = ("--concepts", "vocabulary", "--vocabulary", world / "vocabulary.txt")
    run("mama-augment", "balance", clips, captions, "--out", shards, *vocabulary)
    # Two single-threaded processes use two cores better than one process with two threads does
    # at this size.
    common = {"steps": steps, "lr": 1e-3, "batch_size": 32}
    sections = train_arms(out, shards, common, ARMS, range(num_seeds), jobs=2)
    report = write_report(out, clips, captions, sections)
    say.say(caption_truth(out))
    say.say(f"{time.monotonic() - started:.0f} s in all")
    say.say(f"report: {report}", style="bold")
    if open_report:
        webbrowser.open(report.absolute().as_uri())


def caption_truth(out: Path) -> str:
    """How many train captions say what really happens, which only a made world can tell."""
    from mama_augment.core.store.step_dir import StepDir
    from mama_augment.shapes.world.scene import ATTRIBUTES, parse_caption

    with (out / "world/manifest.csv").open() as file:
        truth = {row["clip_id"]: row for row in csv.DictReader(file) if row["split"] == "train"}
    num_right = dict.fromkeys(ATTRIBUTES, 0)
    num_true = num_captions = 0
    for table in StepDir.open(str(out / "captions"), step="caption").tables(["clip_id", "text"]):
        for caption in table.to_pylist():
            if caption["clip_id"] not in truth:
                continue
            row, said = truth[caption["clip_id"]], parse_caption(caption["text"] or "")
            right = [said is not None and getattr(said, a) == row[a] for a in ATTRIBUTES]
            for attribute, is_right in zip(ATTRIBUTES, right, strict=True):
                num_right[attribute] += is_right
            num_true += all(right)
            num_captions += 1
    human = statistics.mean(row["misaligned"] == "false" for row in truth.values())
    by_attribute = ", ".join(
        f"{name.replace('_', ' ')} {100 * n / num_captions:.1f} %" for name, n in num_right.items()
    )
    return (
        f"train captions that tell the truth: human {100 * human:.1f} %, "
        f"generated {100 * num_true / num_captions:.1f} % ({by_attribute})"
    )


if __name__ == "__main__":
    typer.run(main)
