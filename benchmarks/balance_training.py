"""Does balancing by mined concepts help the tail of a trained model? On a made world.

    python benchmarks/balance_training.py --out tail                       # about 2 CPU minutes
    python benchmarks/balance_training.py --out tail-plain --kind plain \
        --arms all random 'even, mined'                                    # about 20

A world of vectors, or of moving shapes as pixels (`--kind plain`), with Zipf concepts and wrong
captions is made. Concepts are mined from its training captions; nobody hands over a list. Each arm
keeps some of the training captions and trains the same number of steps; the test split is clean and
even. Tail: the half of the true concepts with the fewest training captions.

    all             every caption
    random          a random share of them, as large as that of the arms below
    even, mined     the even rule on mined things and doings
    union, mined    MetaCLIP's rule on the same concepts, with the cap that keeps the same share
    even, truth     the even rule on the concepts that the captions were made from
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.balance.keep.even import ConceptSets
from mama_augment.balance.keep.rule import choose_rule
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.concepts import ConceptConfig, TextBatch, fit_assigner
from mama_augment.concepts.histogram import effective_number
from mama_augment.concepts.language.texts import batches_of
from mama_augment.core.draws import draw_unit
from mama_augment.core.store.step_dir import StepDir

ARMS = ("all", "random", "even, mined", "union, mined", "even, truth")
SETTINGS: dict[str, dict[str, Any]] = {
    "features": {"model": "heads", "steps": 400, "lr": 2e-3},
    "plain": {"steps": 500, "lr": 1e-3},
}
"""Of the training, by kind of world; all else is the same."""


def command(program: str, *words: object) -> None:
    """Run a command; its output is shown only when it fails."""
    line = [str(Path(sys.executable).with_name(program)), *map(str, words)]
    result = subprocess.run(line, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{' '.join(line)}\n{result.stdout}{result.stderr}")


def told(table: pa.Table) -> tuple[list[str], list[list[int]]]:
    """Of each clip, its one caption and the concepts that it was made from."""
    captions = [own[0] for own in table["captions"].to_pylist()]
    return [c["text"] for c in captions], [c["concept_ids"] for c in captions]


def kept(arm: str, table: pa.Table, share: float) -> tuple[np.ndarray, str]:
    """Which clips stay, and how even the arm's own concepts are."""
    texts, truth = told(table)
    ids = table["clip_id"].to_pylist()
    draws = np.array([draw_unit("keep", i) for i in ids])
    if arm == "all":
        return np.ones(len(ids), bool), "–"
    if arm == "random":
        return draws < share, "–"
    lists = truth
    if not arm.endswith("truth"):
        assigner = fit_assigner(ConceptConfig(), batches_of(texts))
        lists = assigner.assign(TextBatch(texts=texts))
    sets = ConceptSets(num_concepts=1 + max((i for own in lists for i in own), default=0))
    sets.add(lists)
    found = sets.finish()
    rule = choose_rule(found, BalanceConfig(rule=arm.split(",")[0], keep_share=share))
    before = effective_number(found.visits(np.ones(len(found.keys))))
    after = effective_number(found.visits(rule.keep))
    return draws < rule.of(lists), f"{before:.1f} → {after:.1f}"


def make_arm(world: Path, out: Path, table: pa.Table, keep: np.ndarray) -> None:
    """Shards with some of the training rows, and all of the others."""
    shutil.rmtree(out, ignore_errors=True)
    for split in ("meta", "val", "test"):
        shutil.copytree(world / split, out / split)
    for name in ("concepts.json", "stats.json"):
        shutil.copy(world / name, out / name)
    (out / "train").mkdir()
    pq.write_table(table.filter(pa.array(keep)), out / "train/train.parquet", row_group_size=1_000)


def train_one(shards: Path, out: Path, seed: int, kind: str) -> dict[str, Any]:
    """Metrics of a run with weights that are all the same, without a margin."""
    import torch

    from mama_train.config import TrainConfig
    from mama_train.run.loop import train

    torch.set_num_threads(1)
    config = TrainConfig.of(
        shards=str(shards),
        out=str(out),
        seed=seed,
        batch_size=64,
        weights="none",
        margin_kind="none",
        tensorboard=False,
        **SETTINGS[kind],
    )
    return dict(train(config, overwrite=True).metrics)


def recall(metrics: dict[str, Any], names: set[str] | None = None) -> float:
    """Text-to-video R@1 on the test split, in per cent, over queries about `names`."""
    if names is None:
        return float(metrics["test"]["text_to_video"]["R@1"])
    rows = [row for row in metrics["test"]["by_concept"] if row["name"] in names]
    return sum(r["R@1"] * r["num_queries"] for r in rows) / sum(r["num_queries"] for r in rows)


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("tail"))
    parser.add_argument("--kind", choices=SETTINGS, default="features")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--share", type=float, default=0.6)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--noise-rate", type=float, default=0.4)
    parser.add_argument("--zipf-exponent", type=float, default=1.1)
    options = parser.parse_args()
    world = options.out / "world"
    dials = ["--noise-rate", options.noise_rate, "--zipf-exponent", options.zipf_exponent]
    shutil.rmtree(options.out, ignore_errors=True)
    command("mama-augment", "shapes", world, "--kind", options.kind, *dials)
    table = pa.concat_tables(
        t.filter(pa.array([s == "train" for s in t["split"].to_pylist()]))
        for t in StepDir.open(str(world)).tables()
    )
    names = [c["name"] for c in json.loads((world / "concepts.json").read_text())]
    counts = Counter(i for own in told(table)[1] for i in own)
    tail = {names[i] for i in sorted(range(len(names)), key=lambda i: counts[i])[: len(names) // 2]}
    columns = ["arm", "captions", "own concepts, effective", "true concepts, effective"]
    print("|", " | ".join([*columns, "R@1 %", "tail R@1 %", "tail by seed"]), "|")
    print("|---|---:|---|---:|---:|---:|---|")
    for arm in options.arms:
        keep, evenness = kept(arm, table, options.share)
        shards = options.out / arm.replace(", ", "-")
        make_arm(world, shards, table, keep)
        true = Counter(i for own in told(table.filter(pa.array(keep)))[1] for i in own)
        runs = []
        for seed in range(options.num_seeds):
            run = options.out / f"run-{shards.name}-{seed}"
            runs.append(train_one(shards, run, seed, options.kind))
        of_tail = [recall(m, tail) for m in runs]
        cells = [arm, f"{keep.sum():,}", evenness, f"{effective_number(list(true.values())):.1f}"]
        cells += [spread([recall(m) for m in runs]), spread(of_tail)]
        print("|", " | ".join(cells), "|", ", ".join(f"{v:.1f}" for v in of_tail), "|", flush=True)


if __name__ == "__main__":
    main()
