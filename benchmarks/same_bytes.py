"""Does this tree write the bytes that an earlier commit wrote? Hashes of every data file.

    python benchmarks/same_bytes.py COMMIT [--work /tmp/same_bytes] [--without COLUMN,…]

A small shapes world goes through `keyframes`, `caption` (transformers, batches of 1), `plan` and
`balance`, and a few training steps, once with the files of COMMIT and once with those here; every
Parquet file must be equal, and so must the sidecars. For changes that move code and mean no more;
columns that are meant to differ are named, and their tables compared without them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

REPOSITORY = Path(__file__).resolve().parents[1]
AUGMENT = "from mama_augment.cli import main; main()"
TRAIN = "from mama_train.cli import main; main()"
CAPTION = "--model llava-shapes --engine transformers --batch-size 1 --num-captions 2"


def commands(work: Path) -> list[tuple[str, list[str]]]:
    """Each command line with the program that runs it, in order."""
    clips, captions, shards = f"{work}/clips", f"{work}/captions", f"{work}/shards"
    lines = [
        (AUGMENT, f"shapes {work}/world --num-videos 24"),
        (AUGMENT, f"keyframes {work}/world/manifest.csv --out {clips}"),
        (AUGMENT, f"keyframes {work}/world/videos --out {work}/cut --split-scenes -q 4"),
        (AUGMENT, f"keyframes {work}/world/videos --out {work}/packets --strategy packets"),
        (AUGMENT, f"caption {clips} --out {captions} {CAPTION}"),
        (AUGMENT, f"plan {clips} {captions} --out {work}/plan/plan.parquet --budget 40"),
        (AUGMENT, f"balance {clips} {captions} --out {shards} --cap 8 --shard-mb 1"),
        (TRAIN, f"run {shards} --out {work}/run --steps 6 --batch-size 8 --set num_frames=4"),
    ]
    return [(program, line.split()) for program, line in lines]


def run(tree: Path, work: Path, without: list[str]) -> dict[str, str]:
    """Run every command with the files of `tree`; sha256 by name of what was written."""
    for program, arguments in commands(work):
        subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    files = [*work.rglob("*.parquet"), *work.rglob("concepts.json"), *work.rglob("stats.json")]
    found: dict[str, str] = {}
    for path in sorted(files):
        name, content = str(path.relative_to(work)), path.read_bytes()
        if path.suffix == ".parquet" and set(without) & set(pq.read_schema(path).names):
            # Named after its content, all of it.
            name = name.rpartition("-")[0]
            kept = [c for c in pq.read_schema(path).names if c not in without]
            content = repr(pq.read_table(path, columns=kept).to_pylist()).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--work", type=Path, default=Path("/tmp/same_bytes"))
    parser.add_argument("--without", default="", help="columns that are meant to differ")
    options = parser.parse_args()
    without = options.without.split(",")
    shutil.rmtree(options.work, ignore_errors=True)
    tree = options.work / "tree"
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    subprocess.run([*git, "add", "--detach", str(tree), options.commit], check=True)
    try:
        # The same folder for both: paths are part of what is written.
        before = run(tree, options.work / "world", without)
        (options.work / "world").rename(options.work / "before")
        now = run(REPOSITORY, options.work / "world", without)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    differ = sorted(name for name in before | now if before.get(name) != now.get(name))
    for name in differ:
        print(f"differs: {name}")
    print(f"{len(before | now) - len(differ)} of {len(before | now)} files have the same bytes")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
