"""What did a change cost? Processor time of the same work in two checkouts, run in turn.

    git worktree add /tmp/before COMMIT
    python benchmarks/before_after.py --before /tmp/before --rounds 15

Work: key frames of a 720p clip and of a small one, in the isolated process as the command runs it
(its start apart); a manifest of 100,000 rows read into clips; the listing of a directory of 20,000
units; a prompt template rendered for 1,000 clips, the process that renders it included. The two
take turns, and the least of all rounds counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

HERE = Path(__file__).resolve().parents[1]
NUM_ROWS, NUM_UNITS = 100_000, 20_000
CHILD = """
import json, resource, sys, time
from functools import partial
from pathlib import Path

from mama_augment.caption.input import prompts
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import Span
from mama_augment.inputs.find import find_clips
from mama_augment.keyframes import step as keyframes
from mama_augment.keyframes.config import ClipConfig, ClipFrames, KeyFramesStep
from mama_augment.keyframes.strategies.config import KeyFrameConfig

folder, works = Path(sys.argv[1]), {}

def spent(worker=None):
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = worker.cpu_seconds() if worker else used.ru_utime + used.ru_stime
    return time.process_time() + running

def timed(work, worker=None, times=1):
    before = spent(worker)
    for _ in range(times):
        work()
    return (spent(worker) - before) / times

for strategy in ("peaks", "packets", "uniform"):
    step = KeyFramesStep(clip=ClipConfig(choice=KeyFrameConfig(strategy=strategy)))
    if hasattr(step, "isolated"):
        worker = step.isolated(keyframes.EXTRACT, ClipFrames)
    else:
        worker = keyframes.IsolatedFunction(keyframes.EXTRACT, step.isolation())
    for name, times in (("small", 20), ("720p", 2)):
        work = partial(worker, str(folder / f"{name}.mp4"), Span(), step.clip)
        work()
        works[f"{strategy}, {name}"] = partial(timed, work, worker, times)

works["manifest"] = partial(timed, partial(find_clips, str(folder / "manifest.csv")))
works["listing"] = partial(timed, lambda: StepDir.open(str(folder / "step")).sizes)
prompt = prompts.Prompt(name="t", text="{{ title }}{% for t in texts %} {{ t.text }}{% endfor %}")
row = {"title": "dogs", "texts": [{"text": "a dog runs"}, {"text": "it jumps"}]}

def render():
    if hasattr(prompt, "render"):
        for _ in range(1000):
            prompt.render(row)
        return
    from mama_augment.caption.input.rendering import Renderer
    renderer = Renderer(prompt)
    for _ in range(1000):
        renderer(row)
    renderer.close()

works["prompts"] = partial(timed, render)
print(json.dumps(list(works)), flush=True)
for line in sys.stdin:
    print(works[line.strip()](), flush=True)
"""


def main(
    before: Annotated[Path, typer.Option(help="A checkout of the code before.")],
    after: Annotated[Path, typer.Option(help="A checkout of the code after.")] = HERE,
    rounds: Annotated[int, typer.Option(help="How often each work is done.")] = 15,
) -> None:
    """Print a table: the least seconds before and after, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        trees = [Tree(tree, folder) for tree in (before, after)]
        best = {work: [float("inf")] * 2 for work in trees[0].works}
        for _, work in product(range(rounds), best):
            for place, tree in enumerate(trees):
                best[work][place] = min(best[work][place], tree.seconds(work))
        for tree in trees:
            tree.close()
    print("| work | before, s | after, s | ratio |")
    print("|---|---|---|---|")
    for work, (old, new) in best.items():
        print(f"| {work} | {old:.4f} | {new:.4f} | {new / old:.2f} |")


class Tree:
    """The code of a checkout, in a process that does one work at a time."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, str(folder)],
            env={**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.works: list[str] = json.loads(self._answer())

    def seconds(self, work: str) -> float:
        """Processor seconds of a work."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{work}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def make(folder: Path) -> None:
    """What the work is done on."""
    from footage import Footage, write_footage

    from mama_augment.core.manifest import Manifest

    for name, width, height, num_frames in (("small", 320, 180, 75), ("720p", 1280, 720, 250)):
        footage = Footage(
            width_px=width, height_px=height, num_frames=num_frames, num_shots=3, preset="ultrafast"
        )
        write_footage(folder / f"{name}.mp4", footage)
    with (folder / "manifest.csv").open("w") as file:
        file.write("video,start_seconds,end_seconds,text\n")
        for i in range(NUM_ROWS):
            file.write(f"v/{i // 2:06d}.mp4,{i % 2 * 10}.0,{i % 2 * 10 + 10}.0,a dog {i % 977}\n")
    step = folder / "step"
    for i in range(NUM_UNITS):
        records = step / f"units/{i // 1000:03d}"
        records.mkdir(parents=True, exist_ok=True)
        (records / f"{i:06d}.0.0.1-0-0-0.1-0-0123456789ab.0.0.json").touch()
        (step / f"{i:06d}-0123456789ab.parquet").touch()
    nothing = Manifest(step="keyframes", config={}, input_fingerprint="", units={}, versions={})
    (step / "manifest.json").write_bytes(nothing.to_json())


if __name__ == "__main__":
    typer.run(main)
