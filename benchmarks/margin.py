"""What a margin does to retrieval, by its head start and by the temperature a model starts from.

    python benchmarks/margin.py [--seeds 5] [--json FILE]

The features world of `weight_net.py` (10,000 pairs, 500 steps of 64), once with 40 % of the texts
wrong and once with none, with equal weights; inverse temperatures start at 14.3, as the small
model's does, and at 100, as CLIP's do. Margins are in radians, and in nats (`--margin-nats`).
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np
import torch
from weight_net import run_equal

from mama_train.objective.config import MarginLoss

SCALES = (math.exp(2.66), 100.0)
LOSSES: dict[str, MarginLoss] = {
    "none": MarginLoss(kind="none"),
    "0.02 rad": MarginLoss(margin=0.02),
    "0.05 rad": MarginLoss(margin=0.05),
    "0.2 rad": MarginLoss(margin=0.2),
    "0.3 nats": MarginLoss(nats=0.3),
    "0.6 nats": MarginLoss(nats=0.6),
    "0.05 rad, running": MarginLoss(margin=0.05, rule="running"),
    "0.05 rad, warm-up 0.5": MarginLoss(margin=0.05, warmup=0.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.4, 0.0])
    parser.add_argument("--json", help="also write every run here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for wrong in given.wrong:
        for scale in SCALES:
            print(f"{100 * wrong:.0f} % wrong, inverse temperature from {scale:.1f}")
            for name, loss in LOSSES.items():
                changes = {"loss": loss, "start_scale": scale, "wrong": wrong}
                runs, recall = run_equal(given.seeds, **changes)
                last = np.mean([r["scale"] for r in runs])
                print(f"  {name:22} {recall}, scale {last:.1f}", flush=True)
                found += [r | {"margin": name, "start": scale, "noise": wrong} for r in runs]
    if given.json:
        with open(given.json, "w") as stream:
            json.dump(found, stream, indent=1)


if __name__ == "__main__":
    main()
