"""What does a clip list cost when the corpus grows: processor time and memory?

    python benchmarks/clip_list.py --num-rows 10000 100000 1000000

For each size and kind: a manifest of that many rows is written (two rows for every second video,
one of the spans in ten with a second text, a further column), or a folder of that many empty
files, and `find_clips` reads it in a process of its own. Reported: its processor time, and the
high-water mark of its memory beyond what the process had once everything was imported. `digests`
are the digests of all units of the list, 32 clips each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

KINDS = ("csv", "jsonl", "parquet", "folder")
FILES_PER_FOLDER = 1000
CLIPS_PER_UNIT = 32

CHILD = """
import json, sys, time
import pyarrow as pa
from mama_augment.inputs.digests import unit_digests
from mama_augment.inputs.find import find_clips

def memory_mb(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) / 1024

pa.array([1])  # imports pandas, where there is one
before_mb, started = memory_mb("VmRSS"), time.process_time()
clips = find_clips(sys.argv[1])
listed, peak_mb = time.process_time(), memory_mb("VmHWM")
size = int(sys.argv[2])
num_units, rest = divmod(clips.num_rows, size)
unit_digests(clips, [size] * num_units + [rest] * (rest > 0))
print(json.dumps({
    "num_clips": clips.num_rows,
    "list_mb": round(clips.nbytes / 2**20),
    "peak_mb_beyond_imports": round(peak_mb - before_mb),
    "cpu_seconds": round(listed - started, 2),
    "digests_cpu_seconds": round(time.process_time() - listed, 2),
    "digests_peak_mb_beyond_imports": round(memory_mb("VmHWM") - before_mb),
}))
"""


def rows_of(num_rows: int) -> pa.Table:
    """Rows of a manifest, in no order."""
    rng = np.random.default_rng(0)
    number = rng.permutation(num_rows)
    video = np.where(number % 4 < 2, number - number % 2, number)
    start = np.where(number % 20 == 1, number - 1, number) % 997 / 4
    return pa.table(
        {
            "video": [f"videos/{v % 997:03d}/corpus-video-{v:09d}.mp4" for v in video],
            "start_seconds": start,
            "end_seconds": start + 7.5,
            "text": [f"somebody does thing {n} with object {n % 1009} in a room" for n in number],
            "channel": [f"channel-{n % 5003}" for n in number // 20],
        }
    )


def write(path: Path, kind: str, num_rows: int) -> None:
    """A manifest, or a folder of empty files."""
    if kind == "folder":
        for first in range(0, num_rows, FILES_PER_FOLDER):
            folder = path / f"part-{first // FILES_PER_FOLDER:05d}"
            folder.mkdir(parents=True)
            for number in range(first, min(first + FILES_PER_FOLDER, num_rows)):
                (folder / f"corpus-video-{number:09d}.mp4").touch()
        return
    rows = rows_of(num_rows)
    if kind == "csv":
        pacsv.write_csv(rows, path)
    elif kind == "parquet":
        pq.write_table(rows, path)
    else:
        with path.open("w") as stream:
            for batch in rows.to_batches(10_000):
                stream.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--folder", default=None, help="where to work; a temporary one if absent")
    options = parser.parse_args()
    for num_rows in options.num_rows:
        for kind in options.kinds:
            folder = Path(tempfile.mkdtemp(prefix="clip-list-", dir=options.folder))
            try:
                path = folder / ("videos" if kind == "folder" else f"manifest.{kind}")
                write(path, kind, num_rows)
                child = [sys.executable, "-c", CHILD, str(path), str(CLIPS_PER_UNIT)]
                result = subprocess.run(child, check=True, capture_output=True, text=True)
                found = json.loads(result.stdout)
                print(json.dumps({"kind": kind, "num_rows": num_rows, **found}), flush=True)
            finally:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
