"""What does it cost to find near-identical clips by the hashes of their key frames?

    python benchmarks/near.py --num-clips 100000

Random hashes, of which a tenth are copies of others with three bits of each turned over. Reported:
processor time, and how many of the copies and of the others are found.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from mama_augment.keyframes.near import MOST_BITS, repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-clips", type=int, default=100_000)
    num_clips = parser.parse_args().num_clips
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, (num_clips, 3), np.uint64)
    first = num_clips - num_clips // 10
    bits = np.argsort(rng.random((num_clips - first, 3, 64)), axis=2)[..., :MOST_BITS]
    masks = (np.uint64(1) << bits.astype(np.uint64)).sum(axis=2, dtype=np.uint64)
    hashes[first:] = hashes[: num_clips - first] ^ masks
    started = time.process_time()
    found = repeats(hashes)
    row = {
        "num_clips": num_clips,
        "cpu_seconds": round(time.process_time() - started, 2),
        "copies_found": f"{int(found[first:].sum())} of {num_clips - first}",
        "others_found": int(found[:first].sum()),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
