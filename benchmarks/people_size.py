"""What do `export` and the browsing of `review` need when there are a million captions?

    python benchmarks/people_size.py --num-clips 100000 1000000

For each size: clips with a small picture each and one caption per clip are written; then the real
`export` runs (csv, and jsonl), and the pages of `review` are asked for in a process of its own.
Reported: seconds, and the high-water mark of each process, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from mama_augment.core.manifest import Manifest
from mama_augment.core.schema import CAPTIONS, CLIPS
from mama_augment.core.store.step_dir import StepDir

CLIPS_PER_UNIT = 2_000
THINGS = ("dog", "cat", "horse", "ball", "boat", "kite", "piano", "tent")


def write(path: Path, step: str, num_clips: int) -> str:
    """A clips or captions directory."""
    starts = range(0, num_clips, CLIPS_PER_UNIT)
    units = {f"{n:06d}": min(CLIPS_PER_UNIT, num_clips - s) for n, s in enumerate(starts)}
    manifest = Manifest(step=step, config={}, input_fingerprint=step, units=units, versions={})
    step_dir = StepDir.create_or_resume(str(path), manifest)
    draws = np.random.default_rng(0)
    for (unit_id, size), start in zip(units.items(), starts, strict=True):
        make = clip_row if step == "keyframes" else caption_row
        rows = [make(start + i, draws) for i in range(size)]
        schema = CLIPS if step == "keyframes" else CAPTIONS
        step_dir.commit(unit_id, pa.Table.from_pylist(rows, schema))
    return str(path)


def clip_row(number: int, draws: np.random.Generator) -> dict:
    return {
        "clip_id": f"clip-{number:08d}",
        "video_uri": f"/data/videos/of-this-or-that-kind/video-{number // 4:08d}.mp4",
        "start_seconds": number % 4 * 10.0,
        "end_seconds": number % 4 * 10.0 + 10,
        "num_key_frames": 1,
        "frame_index": [0],
        "frame_seconds": [0.0],
        "frames": [draws.bytes(300)],
        "texts": [],
    }


def caption_row(number: int, draws: np.random.Generator) -> dict:
    thing = THINGS[min(int(draws.zipf(1.5)), len(THINGS)) - 1]
    text = f"Somebody plays with a {thing} in the garden while {number} others look on."
    return {
        "clip_id": f"clip-{number:08d}",
        "video_uri": f"/data/videos/of-this-or-that-kind/video-{number // 4:08d}.mp4",
        "caption_index": 0,
        "text": text,
        "raw_text": text,
        "status": "ok",
        "model": "m",
        "model_revision": "1",
        "prompt_name": "process",
        "sampling": "{}",
        "seed": 0,
        "caption_key": str(number),
    }


def export(folder: Path, format: str) -> dict:
    """Seconds and MB of the real command."""
    out = folder / f"out.{format}"
    command = [str(Path(sys.executable).with_name("mama-augment")), "export"]
    command += [str(folder / "captions"), "--clips", str(folder / "clips")]
    command += ["--format", format, "--out", str(out), "--quiet"]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return {
        "what": f"export {format}",
        "peak_mb": round(usage.ru_maxrss / 1024),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "out_mb": round(out.stat().st_size / 2**20),
    }


def browse(folder: Path) -> None:
    """In a process of its own: open a review, ask for pages, print what that took."""
    from mama_augment.balance.source.inputs import Inputs
    from mama_augment.concepts import ConceptConfig
    from mama_augment.people.review.config import SampleConfig
    from mama_augment.people.review.open import open_session
    from mama_augment.people.review.texts import Query

    before = time.perf_counter()
    inputs = Inputs.sort([str(folder / "clips"), str(folder / "captions")])
    scratch = folder / "scratch"
    scratch.mkdir()
    session = open_session(
        inputs, str(folder / "reviews"), SampleConfig(), ConceptConfig(), scratch
    )
    found = {"what": "review", "open_seconds": round(time.perf_counter() - before, 1)}
    queries = {
        "first": Query(),
        "search": Query(text="piano"),
        "concept": Query(concept=0),
        "longest": Query(sort="words", descending=True),
        "by_text": Query(sort="text"),
    }
    for name, query in queries.items():
        started = time.perf_counter()
        session.browse(query, 24)
        found[f"{name}_seconds"] = round(time.perf_counter() - started, 2)
    found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-clips", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", default=None, help="where to work; a temporary one if absent")
    parser.add_argument("--browse", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.browse is not None:
        browse(options.browse)
        return
    for num_clips in options.num_clips:
        folder = Path(tempfile.mkdtemp(prefix="people-", dir=options.folder))
        try:
            write(folder / "clips", "keyframes", num_clips)
            write(folder / "captions", "caption", num_clips)
            for format in ("csv", "jsonl"):
                print(json.dumps({"num_clips": num_clips, **export(folder, format)}), flush=True)
            command = [sys.executable, __file__, "--browse", str(folder)]
            subprocess.run(command, check=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
