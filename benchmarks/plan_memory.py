"""What does `mama-augment plan` hold in memory when the corpus grows?

    python benchmarks/plan_memory.py --num-clips 100000 1000000

For each size: a clips table without frames and with three texts per clip (as in balance_memory.py)
is written, then the real command plans one caption for every second clip, with a vocabulary of
1,000 phrases. Reported: the high-water mark of its process, imports included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from balance_memory import NUM_PHRASES, write_corpus


def measure(num_clips: int, concepts: str, folder: Path) -> dict:
    """Run `plan` on the corpus in `folder` and read what its process needed."""
    phrases, out = folder / "phrases.txt", folder / "plan.parquet"
    phrases.write_text("\n".join(f"thing{i}" for i in range(NUM_PHRASES)))
    command = [str(Path(sys.executable).with_name("mama-augment")), "plan", str(folder / "clips")]
    command += ["--budget", str(num_clips // 2), "--out", str(out), "--concepts", concepts]
    if concepts == "vocabulary":
        command += ["--vocabulary", str(phrases)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return {
        "num_clips": num_clips,
        "concepts": concepts,
        "peak_mb": round(usage.ru_maxrss / 1024),
        "seconds": round(time.perf_counter() - started, 1),
        "plan_mb": round(out.stat().st_size / 2**20, 1),
        "plan_sha256": hashlib.sha256(out.read_bytes()).hexdigest()[:12],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-clips", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--concepts", nargs="+", default=["vocabulary"])
    parser.add_argument("--folder", default=None, help="where to work; a temporary one if absent")
    options = parser.parse_args()
    for num_clips in options.num_clips:
        folder = Path(tempfile.mkdtemp(prefix="plan-", dir=options.folder))
        try:
            write_corpus(folder / "clips", num_clips, frame_bytes=0, num_frames=0)
            for concepts in options.concepts:
                print(json.dumps(measure(num_clips, concepts, folder)), flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
