"""The whole method on a generated world, on a CPU: what `make demo` runs.

    python pipelines/shapes_cpu.py --out demo

Videos of moving shapes with noisy human captions → key frames → captions by the bundled tiny
LLaVA → balanced shards → training with margin and meta-learned weights, over several seeds, beside
the same training on the human captions alone → one HTML report. Kill it and run it again: every
step continues.
"""

from __future__ import annotations

import csv
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commands import run

from mama_augment.core.shared import say


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One choice of captions; the training is the same in both: margin, weights, meta step."""

    name: str
    slug: str
    sources: Literal["all", "human"]
    human_share: float | None = None


ARMS = (
    Arm(name="with generated captions", slug="generated", sources="all", human_share=0.2),
    Arm(name="human captions alone", slug="human", sources="human"),
)


def main(
    out: Annotated[Path, typer.Option(help="Everything goes below this folder.")] = Path("demo"),
    num_videos: Annotated[int, typer.Option(help="Train videos of the world.")] = 500,
    steps: Annotated[int, typer.Option(help="Training steps of each run.")] = 300,
    num_seeds: Annotated[int, typer.Option(help="Training runs of each arm.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the world; training seeds count from 0.")] = 7,
    small: Annotated[bool, typer.Option("--small", help="A fifth of it all, to try.")] = False,
) -> None:
    """Make a world, run every step on it, train both arms, write the report."""
    started = time.monotonic()
    if small:
        num_videos, steps, num_seeds = num_videos // 5, steps // 5, 2
    world, clips, captions, shards = (out / n for n in ("world", "clips", "captions", "shards"))
    run("mama-augment", "shapes", world, "--num-videos", num_videos, "--seed", seed)
    run("mama-augment", "keyframes", world / "manifest.csv", "--out", clips)
    run("mama-augment", "caption", clips, "--out", captions, "--model", "llava-shapes")
    vocabulary = ("--concepts", "vocabulary", "--vocabulary", world / "vocabulary.txt")
    run("mama-augment", "balance", clips, captions, "--out", shards, *vocabulary)
    results = train_arms(out, steps, num_seeds)
    write_report(out, results)
    print_summary(out, results)
    say.say(caption_truth(out))
    say.say(f"{time.monotonic() - started:.0f} s in all")


def train_arms(out: Path, steps: int, num_seeds: int) -> dict[str, list[dict[str, Any]]]:
    """Metrics by arm and seed; two runs at a time, one thread each."""
    jobs = [(arm, seed) for seed in range(num_seeds) for arm in ARMS]
    say.say("")
    say.say(f"training {len(jobs)} runs of {steps} steps", style="bold")
    found: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in ARMS}
    # Two single-threaded processes use two cores better than one process with two threads does
    # at this size; spawned, because torch does not survive a fork.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        work = [pool.submit(train_one, out, arm, seed, steps) for arm, seed in jobs]
        for (arm, seed), future in zip(jobs, work, strict=True):
            metrics = future.result()
            found[arm.name].append(metrics)
            recall = metrics["test"]["text_to_video"]["R@1"]
            say.say(
                f"{arm.name}, seed {seed}: text-to-video R@1 {recall:.1f} % "
                f"({metrics['seconds']:.0f} s, {metrics['samples_per_second']:.0f} samples/s)"
            )
    return found


def run_dir_of(out: Path, arm: Arm, seed: int) -> Path:
    return out / "runs" / f"{arm.slug}-seed{seed}"


def train_one(out: Path, arm: Arm, seed: int, steps: int) -> dict[str, Any]:
    """Train one arm with one seed; a finished run of as many steps is read, not repeated."""
    import torch

    from mama_train.config import TrainConfig
    from mama_train.run.loop import train

    run_dir = run_dir_of(out, arm, seed)
    if (run_dir / "metrics.json").exists():
        metrics = dict(json.loads((run_dir / "metrics.json").read_text()))
        if metrics["num_steps"] == steps:
            return metrics
    torch.set_num_threads(1)
    config = TrainConfig.of(
        shards=str(out / "shards"),
        out=str(run_dir),
        steps=steps,
        seed=seed,
        sources=arm.sources,
        human_share=arm.human_share,
        lr=2e-3,
        tensorboard=False,
    )
    return train(config, overwrite=True).metrics


def write_report(out: Path, results: dict[str, list[dict[str, Any]]]) -> None:
    """One self-contained HTML file: the data, the comparison, one run's curves."""
    from mama_augment.core.shared.page import Section
    from mama_augment.people.report import build_report
    from mama_train.report.page import training_sections

    build_report(
        str(out / "report.html"),
        clips_dir=str(out / "clips"),
        captions_dirs=[str(out / "captions")],
        shards_dir=str(out / "shards"),
        extra_sections=[
            Section(
                title="Does it help? R@1 beside the human captions alone",
                html=comparison_html(out, results),
            ),
            *training_sections(run_dir_of(out, ARMS[0], 0)),
        ],
    )


def comparison_rows(results: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """One row per test metric: mean ± standard deviation over the seeds, arm by arm; and one of
    what became of the weight nets."""
    from mama_train.compare.measures import Run, states

    rows = []
    for direction in ("text_to_video", "video_to_text"):
        for metric in ("R@1", "R@5", "R@10", "MdR", "MnR"):
            row = [f"{direction.replace('_', ' ')} {metric}{' %' if metric[0] == 'R' else ''}"]
            for metrics in results.values():
                values = [float(m["test"][direction][metric]) for m in metrics]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                row.append(f"{statistics.mean(values):.1f} ± {spread:.1f}")
            rows.append(row)
    runs = {arm: [Run(metrics=m) for m in of_arm] for arm, of_arm in results.items()}
    if told := states(runs):
        rows.append(["weight nets", *(told[arm] for arm in results)])
    return rows


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


def comparison_html(out: Path, results: dict[str, list[dict[str, Any]]]) -> str:
    from mama_augment.core.shared.page import note, table

    seeds = len(next(iter(results.values())))
    words = (
        f"The same steps, batch size, model and {seeds} seeds; only the captions differ. Test "
        "split, clean captions; mean ± standard deviation over the seeds; recalls in percent."
    )
    rows = table(["", *results], comparison_rows(results))
    return note(words) + rows + note(f"{caption_truth(out).capitalize()}.")


def print_summary(out: Path, results: dict[str, list[dict[str, Any]]]) -> None:
    num_queries = results[ARMS[0].name][0]["test"]["text_to_video"]["num_queries"]
    say.table(
        "test split: mean ± standard deviation over the seeds",
        ["", *results],
        comparison_rows(results),
        right=list(results),
    )
    say.say(f"chance: R@1 {100 / num_queries:.1f} % of {num_queries} captions")
    say.say(f"report: {out / 'report.html'}")


if __name__ == "__main__":
    typer.run(main)
