"""Does agreement find wrong captions, and what does leaving them out do, beside V and without it?

    python benchmarks/agreement.py --seeds 0 1 2

A world of features (`mama-augment shapes --kind features`): vectors, Zipf concepts, 40 % of the
training captions of another clip, the truth known. For each seed two heads are trained on the wrong
and right captions alike, with equal weights; agreement is the cosine of their vectors of clip and
caption (what `mama-augment score` computes from frames). Reported: of the captions that agree
least, how many are wrong (precision), and how many of the wrong ones are among them (recall); the
area under the ROC curve; and test R@1 (400 clean, even pairs) of models trained with neither, with
V, without the least agreeing 40 %, with both, and with the truth as weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from mama_augment.core.manifest import Manifest
from mama_augment.core.store.step_dir import StepDir

SHARES = (0.2, 0.3, 0.4, 0.5)
DROPPED = 0.4
TRAINING = (
    "--model",
    "heads",
    "--lr",
    "2e-3",
    "--batch-size",
    "64",
    "--margin-kind",
    "none",
    "--no-tensorboard",
)


def command(program: str, *words: str | Path) -> None:
    path = str(Path(sys.executable).with_name(program))
    found = subprocess.run([path, *map(str, words)], capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{program} {words}: {found.returncode}\n{found.stderr[-2000:]}")


def train(shards: Path, out: Path, steps: int, seed: int, weights: str) -> float:
    """Test R@1, text to video, in %."""
    words = ("--steps", str(steps), "--seed", str(seed), "--weights", weights)
    command("mama-train", "run", shards, "--out", out, *words, *TRAINING)
    metrics = json.loads((out / "metrics.json").read_text())
    return float(metrics["test"]["text_to_video"]["R@1"])


def agreement_of(run: Path, shards: Path, folder: Path) -> dict[tuple[str, str], float]:
    """By clip and caption of train."""
    out = folder / "embeddings.parquet"
    command("mama-train", "embed", run, shards, "--split", "train", "--out", out)
    rows = pq.read_table(out).to_pylist()
    videos = {r["clip_id"]: np.array(r["embedding"]) for r in rows if r["kind"] == "video"}
    return {
        (r["clip_id"], r["text"]): float(videos[r["clip_id"]] @ np.array(r["embedding"]))
        for r in rows
        if r["kind"] == "text"
    }


def without(shards: Path, out: Path, agreement: dict[tuple[str, str], float], least: float) -> None:
    """The same shards without training captions that agree less."""
    source = StepDir.open(str(shards))
    tables = {}
    for unit in source.units():
        table = unit.table()
        split = unit.record.unit_id.split("-")[0]
        if split == "train":
            rows = zip(table["clip_id"].to_pylist(), table["captions"].to_pylist(), strict=True)
            kept = [agreement[i, captions[0]["text"]] >= least for i, captions in rows]
            table = table.filter(kept)
        tables[unit.record.unit_id] = (split, table)
    manifest = Manifest(
        step="balance",
        config={"least": least},
        input_fingerprint=source.input_fingerprint(),
        units={unit_id: table.num_rows for unit_id, (_, table) in tables.items()},
        versions={},
    )
    made = StepDir.create_or_resume(str(out), manifest)
    for unit_id, (split, table) in tables.items():
        made.commit(unit_id, table, subfolder=split)
    for name in ("concepts.json", "stats.json"):
        shutil.copy(shards / name, out / name)


def truth(shards: Path) -> dict[tuple[str, str], bool]:
    """Whether each training caption is of its clip."""
    return {
        (row["clip_id"], caption["text"]): caption["is_aligned"]
        for table in StepDir.open(str(shards)).tables(["split", "clip_id", "captions"])
        for row in table.to_pylist()
        if row["split"] == "train"
        for caption in row["captions"]
    }


def one_seed(folder: Path, seed: int, steps: int) -> dict[str, Any]:
    shards = folder / "shards"
    command("mama-augment", "shapes", shards, "--kind", "features", "--seed", str(seed))
    found: dict[str, Any] = {"neither": train(shards, folder / "neither", steps, seed, "none")}
    agreement = agreement_of(folder / "neither", shards, folder)
    is_right = truth(shards)
    keys = sorted(is_right)
    scores = np.array([agreement[key] for key in keys])
    wrong = np.array([not is_right[key] for key in keys])
    found["share_wrong"] = float(wrong.mean())
    found["auc"] = float(roc_auc_score(wrong, -scores))
    order = np.argsort(scores)
    for share in SHARES:
        chosen = wrong[order[: int(share * len(order))]]
        found[f"precision_{share}"] = float(chosen.mean())
        found[f"recall_{share}"] = float(chosen.sum() / wrong.sum())
    least = float(np.quantile(scores, DROPPED))
    without(shards, folder / "without", agreement, least)
    found["V"] = train(shards, folder / "v", steps, seed, "mlp-meta")
    found["min_agreement"] = train(folder / "without", folder / "dropped", steps, seed, "none")
    found["both"] = train(folder / "without", folder / "both", steps, seed, "mlp-meta")
    found["oracle"] = train(shards, folder / "oracle", steps, seed, "oracle")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    results = []
    for seed in options.seeds:
        folder = Path(tempfile.mkdtemp(prefix="agreement-"))
        try:
            results.append(one_seed(folder, seed, options.steps))
        finally:
            shutil.rmtree(folder)
        print(json.dumps({"seed": seed, **results[-1]}), flush=True)
    if len(results) > 1:
        for name in results[0]:
            values = [result[name] for result in results]
            print(f"{name}: {statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}")


if __name__ == "__main__":
    main()
