"""What `caption --reuse` keeps in memory for each caption, against a dict of them.

    python benchmarks/caption_reuse.py --num-captions 1000000

Both ways are measured in processes of their own: what stays, by the growth of resident memory, and
the peak while it is built.
"""  # fmt: skip

from __future__ import annotations

import argparse
import hashlib
import itertools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from mama_augment.caption.engines.base import Completion
from mama_augment.caption.known import TEXT_COLUMNS, CaptionIndex
from mama_augment.core.manifest import Manifest
from mama_augment.core.schema import CAPTIONS
from mama_augment.core.store.step_dir import StepDir

WORDS = "a red circle moves to the left and then grows while the camera shakes"
NUM_LOOKUPS = 20_000


def key_of(i: int) -> str:
    return hashlib.sha256(str(i).encode()).hexdigest()[:32]


def make_captions(directory: Path, number: int, per_unit: int) -> None:
    starts = range(0, number, per_unit)
    units = {f"{n:06d}": min(per_unit, number - start) for n, start in enumerate(starts)}
    manifest = Manifest(
        step="caption", config={}, input_fingerprint="made", units=units, versions={}
    )
    captions = StepDir.create_or_resume(str(directory), manifest)
    constant = {"status": "ok", "reason": None, "model": "m", "model_revision": "r",
                "prompt_name": "process", "grid_rows": 3, "grid_columns": 4, "sampling": "{}",
                "seed": 0, "num_prompt_tokens": 600, "num_output_tokens": 20,
                "finish_reason": "stop", "caption_index": 0}  # fmt: skip
    for start, (unit_id, size) in zip(starts, units.items(), strict=True):
        rows = range(start, start + size)
        texts = [f"{WORDS}, clip {i}" for i in rows]
        own = {"clip_id": [f"c{i}" for i in rows], "text": texts, "raw_text": texts,
               "caption_key": [key_of(i) for i in rows]}  # fmt: skip
        columns = {name: [value] * size for name, value in constant.items()} | own
        captions.commit(unit_id, pa.table([columns[n] for n in CAPTIONS.names], schema=CAPTIONS))


def as_dict(captions: StepDir) -> dict[str, Completion]:
    found = {}
    for table in captions.tables([*TEXT_COLUMNS, "caption_key"]):
        for row in table.to_pylist():
            key, text = row.pop("caption_key"), row.pop("raw_text")
            found[key] = Completion(text=text, **row)
    return found


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(directory: Path, way: str, number: int) -> None:
    """Build one index, in this process, and say what it took."""
    captions = StepDir.open(str(directory), step="caption")
    for table in itertools.islice(captions.tables(), 20):
        table.to_pylist()  # what a first read keeps is no part of either way
    del table
    pool = pa.default_memory_pool()
    pool.release_unused()
    before = resident_bytes()
    started = time.perf_counter()
    known: Any = CaptionIndex(captions) if way == "index" else as_dict(captions)
    seconds = time.perf_counter() - started
    pool.release_unused()
    stays = resident_bytes() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    started = time.perf_counter()
    step = max(1, number // NUM_LOOKUPS)
    for i in range(0, number, step):
        assert known.get(key_of(i)).text.endswith(f" {i}")
    rate = len(range(0, number, step)) / (time.perf_counter() - started)
    exact = f", of them {known.num_bytes / number:.1f} in arrays" if way == "index" else ""
    print(
        f"{way:>5}: {stays / number:6.1f} bytes per caption stay{exact}; at the peak "
        f"{peak / number:.1f}; built in {seconds:.1f} s; {rate:,.0f} texts/s in order"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-captions", type=int, default=1_000_000)
    parser.add_argument("--per-unit", type=int, default=1000)
    parser.add_argument("--measure", choices=("index", "dict"), help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.directory, options.measure, options.num_captions)
        return
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work) / "captions"
        make_captions(directory, options.num_captions, options.per_unit)
        for way in ("index", "dict"):
            line = [sys.executable, __file__, "--measure", way, "--directory", str(directory),
                    "--num-captions", str(options.num_captions)]  # fmt: skip
            subprocess.run(line, check=True)


if __name__ == "__main__":
    main()
