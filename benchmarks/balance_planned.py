"""Planned captions against none, random ones and mere dropping, on the shapes world.

    python benchmarks/balance_planned.py --out planned            # about 20 minutes on 2 free cores

A Zipf world with noisy human captions is made, and all its train clips are captioned once by the
bundled LLaVA. Every arm that may generate gets the same budget, a number of those captions:

    human            the human captions, nothing dropped, nothing generated
    dropped          the human captions, head thinned as MetaCLIP does (cap auto)
    random           captions of randomly drawn clips added, nothing dropped
    random-dropped   the same, then head thinned
    planned          captions where `mama-augment plan` wants them, nothing dropped
    planned-dropped  the same, then head thinned

Planner and balancer see what a user has: the noisy texts and a phrase list, never the truth.
Every arm trains for the same number of steps of the same size. Reported: the effective number of
true concepts among training visits, and R@1 (text to video) on the clean, balanced test split, of
all concepts and of the tail: the half of the concepts with the fewest train clips, by the truth.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mama_augment.concepts.histogram import effective_number
from mama_augment.core.draws import draw_bits
from mama_augment.core.manifest import Manifest
from mama_augment.core.schema import is_generated
from mama_augment.core.store.step_dir import StepDir

HUMAN_SHARE = 0.2
"""Of the visits of arms that have generated captions, as in the demo: nearly half of the human
ones describe another scene."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    name: str
    captions: str | None
    cap: str


ARMS = (
    Arm(name="human", captions=None, cap="none"),
    Arm(name="dropped", captions=None, cap="auto"),
    Arm(name="random", captions="captions-random", cap="none"),
    Arm(name="random-dropped", captions="captions-random", cap="auto"),
    Arm(name="planned", captions="captions-planned", cap="none"),
    Arm(name="planned-dropped", captions="captions-planned", cap="auto"),
)


def command(*words: object) -> None:
    """Run a mama-augment command; its output is shown only when it fails."""
    line = [str(Path(sys.executable).with_name("mama-augment")), *map(str, words)]
    result = subprocess.run(line, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(line)}\n{result.stdout}{result.stderr}")


def make_world(out: Path, num_videos: int, budget: int, seed: int) -> None:
    """World, key frames, a caption for every train clip, the plan, and the two arms' captions."""
    command("shapes", out / "world", "--num-videos", num_videos, "--seed", seed)
    command("keyframes", out / "world/manifest.csv", "--out", out / "clips")
    command("caption", out / "clips", "--out", out / "captions", "--model", "llava-shapes")
    vocabulary = ("--concepts", "vocabulary", "--vocabulary", out / "world/vocabulary.txt")
    plan = ("--budget", budget, "--max-per-clip", 1, "--out", out / "plan.parquet")
    command("plan", out / "clips", *plan, *vocabulary)
    wanted = pq.read_table(out / "plan.parquet", filters=pc.field("num_captions") > 0)
    train = [clip_id for clip_id, split in clip_column(out, "split").items() if split == "train"]
    drawn = sorted(train, key=lambda clip_id: draw_bits(seed, "random arm", clip_id))[:budget]
    pick_captions(out, "captions-planned", set(wanted["clip_id"].to_pylist()))
    pick_captions(out, "captions-random", set(drawn))
    for arm in ARMS:
        captions = [out / arm.captions] if arm.captions else []
        target = out / "shards" / arm.name
        command("balance", out / "clips", *captions, "--out", target, "--cap", arm.cap, *vocabulary)


def clip_column(out: Path, name: str) -> dict[str, str]:
    tables = StepDir.open(str(out / "clips")).tables(["clip_id", name])
    return {r["clip_id"]: r[name] for table in tables for r in table.to_pylist()}


def pick_captions(out: Path, name: str, clip_ids: set[str]) -> None:
    """The captions of some clips as a captions directory of their own."""
    source = StepDir.open(str(out / "captions"))
    tables = {}
    for unit in source.units():  # of held-out clips only, nothing was asked
        table = unit.table()
        keep = [clip_id in clip_ids for clip_id in table["clip_id"].to_pylist()]
        tables[unit.record.unit_id] = table.filter(keep)
    manifest = Manifest(
        step="caption",
        config={"picked": name},
        input_fingerprint=source.input_fingerprint(),
        units={unit_id: table.num_rows for unit_id, table in tables.items()},
        versions={},
    )
    target = StepDir.create_or_resume(str(out / name), manifest, overwrite=True)
    for unit_id, table in tables.items():
        target.commit(unit_id, table)


def describe(out: Path, arm: Arm) -> dict[str, Any]:
    """Visits of the true concepts, and how many captions say what their clip shows."""
    concept, truth = clip_column(out, "concept"), clip_column(out, "misaligned")
    visits: Counter[str] = Counter()
    num_human = num_wrong = 0
    for table in StepDir.open(str(out / "shards" / arm.name)).tables(
        ["split", "clip_id", "captions"]
    ):
        for row in table.to_pylist():
            if row["split"] != "train":
                continue
            visits[concept[row["clip_id"]]] += len(row["captions"])
            for caption in row["captions"]:
                human = not is_generated(caption["source"])
                num_human += human
                num_wrong += human and str(truth[row["clip_id"]]).lower() == "true"
    total = visits.total()
    return {
        "num_visits": total,
        "num_generated": total - num_human,
        "effective_concepts": effective_number(list(visits.values())),
        "share_misaligned": num_wrong / total,
    }


def train_one(out: Path, arm: Arm, seed: int, steps: int) -> dict[str, Any]:
    import torch

    from mama_train.config import TrainConfig
    from mama_train.run.loop import train

    run_dir = out / "runs" / f"{arm.name}-seed{seed}"
    if (run_dir / "metrics.json").exists():
        metrics = dict(json.loads((run_dir / "metrics.json").read_text()))
        if metrics["num_steps"] == steps:
            return metrics
    torch.set_num_threads(1)
    shards = str(out / "shards" / arm.name)
    config = TrainConfig.of(
        shards=shards,
        out=str(run_dir),
        steps=steps,
        seed=seed,
        lr=2e-3,
        human_share=HUMAN_SHARE if arm.captions else None,
        tensorboard=False,
    )
    return dict(train(config, overwrite=True).metrics)


def tail_of(out: Path) -> set[str]:
    """The half of the concepts with the fewest train clips, by the truth."""
    splits, concept = clip_column(out, "split"), clip_column(out, "concept")
    counts = Counter(dict.fromkeys(concept.values(), 0))
    counts.update(concept[i] for i, split in splits.items() if split == "train")
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    return set(ordered[: len(ordered) // 2])


def recall(metrics: dict[str, Any], names: set[str] | None = None) -> float:
    """Text-to-video R@1 on the test split, over queries about `names`."""
    if names is None:
        return float(metrics["test"]["text_to_video"]["R@1"])
    rows = [row for row in metrics["test"]["by_concept"] if row["name"] in names]
    return sum(r["R@1"] * r["num_queries"] for r in rows) / sum(r["num_queries"] for r in rows)


def spread(values: Iterable[float]) -> str:
    found = list(values)
    deviation = statistics.stdev(found) if len(found) > 1 else 0.0
    return f"{statistics.mean(found):.1f} ± {deviation:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("planned"))
    parser.add_argument("--num-videos", type=int, default=500)
    parser.add_argument("--budget", type=int, default=250)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the world and the draws")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    make_world(options.out, options.num_videos, options.budget, options.seed)
    for arm in ARMS:
        print(arm.name, json.dumps(describe(options.out, arm)), flush=True)
    tail = tail_of(options.out)
    jobs = [(arm, seed) for seed in range(options.num_seeds) for arm in ARMS]
    found: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in ARMS}
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        work = [pool.submit(train_one, options.out, arm, seed, options.steps) for arm, seed in jobs]
        for (arm, seed), future in zip(jobs, work, strict=True):
            metrics = future.result()
            found[arm.name].append(metrics)
            line = f"R@1 {recall(metrics):.1f}, tail {recall(metrics, tail):.1f}"
            print(f"{arm.name} seed {seed}: {line}", flush=True)
    print("\n| arm | visits | generated | effective concepts | R@1 % | tail R@1 % |")
    print("|---|---:|---:|---:|---:|---:|")
    for arm in ARMS:
        d, runs = describe(options.out, arm), found[arm.name]
        print(
            f"| {arm.name} | {d['num_visits']} | {d['num_generated']} | "
            f"{d['effective_concepts']:.1f} | {spread(recall(m) for m in runs)} | "
            f"{spread(recall(m, tail) for m in runs)} |"
        )


if __name__ == "__main__":
    main()
