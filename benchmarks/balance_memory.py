"""Does `balance` hold its memory when the corpus grows? Texts and pixels, out of core.

    python benchmarks/balance_memory.py --num-clips 20000 80000

For each size: a clips table with random bytes as frames and three texts per clip is written, then
`balance` (vocabulary of 1,000 phrases, 64 MB shards, one worker) runs in a process of its own,
whose high-water mark of memory is reported. Disk needed: about three times the frames.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from mama_augment.core.manifest import Manifest
from mama_augment.core.schema import CLIPS
from mama_augment.core.store.step_dir import StepDir

CLIPS_PER_UNIT = 500
NUM_PHRASES = 1_000

CHILD = """
import json, resource, sys, time
from mama_augment.concepts import ConceptConfig
from mama_augment.runtime import RuntimeConfig
from mama_augment.balance.config import BalanceStep
from mama_augment.balance.step import Balance
from mama_augment.core.step import Silence, run
from mama_augment.core.store.output import StepOutput
clips, out, vocabulary = sys.argv[1:]
concepts = ConceptConfig(assigner="vocabulary", vocabulary=vocabulary)
phases = []
started = time.perf_counter()
class Tell(Silence):
    def phase(self, text):
        phases.append((text, round(time.perf_counter() - started, 1)))
    def progress(self, name, num_total, num_done=0):
        self.phase("writing shards")
        return super().progress(name, num_total, num_done)
step = Balance(clips, [], BalanceStep(concepts=concepts, shard_mb=64))
outcome = run(step, StepOutput(out), RuntimeConfig(num_workers=1), Tell())
ledger = outcome.ledger
assert ledger.exit_code == 0, ledger
print(json.dumps({"seconds": round(time.perf_counter() - started, 1), "phases": phases,
    "num_texts": ledger.num_in, "num_shards": len(outcome.manifest.units),
    "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))
"""


def write_corpus(path: Path, num_clips: int, frame_bytes: int, num_frames: int) -> None:
    """A clips directory whose texts follow a Zipf law over phrases."""
    draws = np.random.default_rng(0)
    starts = range(0, num_clips, CLIPS_PER_UNIT)
    units = {f"{n:06d}": min(CLIPS_PER_UNIT, num_clips - s) for n, s in enumerate(starts)}
    manifest = Manifest(
        step="keyframes", config={}, input_fingerprint=str(num_clips), units=units, versions={}
    )
    step_dir = StepDir.create_or_resume(str(path), manifest)
    for (unit_id, size), start in zip(units.items(), starts, strict=True):
        phrases = np.minimum(draws.zipf(1.3, size=(size, 3)), NUM_PHRASES) - 1
        rows = [
            {
                "clip_id": f"clip-{start + i:08d}",
                "video_uri": f"video-{(start + i) // 4}.mp4",
                "num_key_frames": num_frames,
                "frame_index": list(range(num_frames)),
                "frame_seconds": [n / 4 for n in range(num_frames)],
                "frames": [draws.bytes(frame_bytes) for _ in range(num_frames)],
                "texts": [
                    {
                        "text": f"somebody holds thing{p} while clip {start + i} goes on {k}",
                        "source": "human",
                        "trusted": i % 10 == 0,
                    }
                    for k, p in enumerate(phrases[i])
                ],
            }
            for i in range(size)
        ]
        step_dir.commit(unit_id, pa.Table.from_pylist(rows, CLIPS))


def measure(num_clips: int, frame_bytes: int, num_frames: int, folder: Path) -> dict:
    """Run `balance` on a fresh corpus and read what its process needed."""
    write_corpus(folder / "clips", num_clips, frame_bytes, num_frames)
    (folder / "phrases.txt").write_text("\n".join(f"thing{i}" for i in range(NUM_PHRASES)))
    arguments = [str(folder / name) for name in ("clips", "shards", "phrases.txt")]
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    found = json.loads(result.stdout)
    pixels_mb = num_clips * frame_bytes * num_frames / 2**20
    return {"num_clips": num_clips, "frames_mb": round(pixels_mb), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-clips", type=int, nargs="+", default=[20_000, 80_000])
    parser.add_argument("--num-frames", type=int, default=4)
    parser.add_argument("--frame-bytes", type=int, default=4_000)
    parser.add_argument("--folder", default=None, help="where to work; a temporary one if absent")
    options = parser.parse_args()
    for num_clips in options.num_clips:
        folder = Path(tempfile.mkdtemp(prefix="balance-", dir=options.folder))
        try:
            found = measure(num_clips, options.frame_bytes, options.num_frames, folder)
            print(json.dumps(found), flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
