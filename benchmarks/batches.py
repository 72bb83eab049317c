"""What batches with a concept in common do to retrieval (`--batches by-concept`).

    python benchmarks/batches.py [--seeds 5]

The features world of `weight_net.py` (10,000 pairs, 500 steps of 64, no margin, equal weights),
once with 40 % of the texts wrong and once with none. R@1 over clean, even test pairs.
"""

from __future__ import annotations

import argparse

import torch
from weight_net import run_equal

from mama_train.data.config import DataConfig

SIZE = 64
KINDS = {
    "shuffled": DataConfig(batch_size=SIZE, window_clips=10_000),
    **{
        f"by concept, share {share:g}": DataConfig(
            batch_size=SIZE, window_clips=10_000, batches="by-concept", concept_share=share
        )
        for share in (0.25, 0.5, 1.0)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for wrong in (0.4, 0.0):
        print(f"{100 * wrong:.0f} % wrong")
        for name, data in KINDS.items():
            recall = run_equal(given.seeds, wrong=wrong, data=data)[1]
            print(f"  {name:24} {recall}", flush=True)


if __name__ == "__main__":
    main()
