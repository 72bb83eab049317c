"""What did a change cost? Processor time of the same work in two checkouts, run in turn.

    git worktree add /tmp/before COMMIT
    python benchmarks/before_after.py --before /tmp/before --rounds 3

Work: key frames of a 720p clip and of a small one, in the isolated process as the command runs it
(its start apart); a manifest of 100,000 rows read into clips; the listing of a directory of 20,000
units; a prompt template rendered for 1,000 clips, the process that renders it included. The least
of all rounds counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

HERE = Path(__file__).resolve().parents[1]
NUM_ROWS, NUM_UNITS = 100_000, 20_000
CHILD = """
import json, resource, sys, time
from pathlib import Path

folder, found = Path(sys.argv[1]), {}

def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime

def noted(name, work):
    before = spent()
    work()
    found[name] = spent() - before

from mama_augment.decode.config import Span
from mama_augment.keyframes import step as keyframes
from mama_augment.keyframes.config import ClipConfig, ClipFrames, KeyFramesStep
from mama_augment.keyframes.strategies.config import KeyFrameConfig

for strategy in ("peaks", "packets", "uniform"):
    step = KeyFramesStep(clip=ClipConfig(choice=KeyFrameConfig(strategy=strategy)))
    if hasattr(step, "isolated"):
        worker = step.isolated(keyframes.EXTRACT, ClipFrames)
    else:
        worker = keyframes.IsolatedFunction(keyframes.EXTRACT, step.isolation())
    for name, times in (("small", 40), ("720p", 3)):
        path = str(folder / f"{name}.mp4")
        worker(path, Span(), step.clip)
        before = worker.cpu_seconds() + time.process_time()
        for _ in range(times):
            worker(path, Span(), step.clip)
        after = worker.cpu_seconds() + time.process_time()
        found[f"{strategy}, {name}"] = (after - before) / times
    worker.close()

from mama_augment.inputs.find import find_clips
noted("manifest", lambda: find_clips(str(folder / "manifest.csv")))

from mama_augment.core.store.step_dir import StepDir
step_dir = StepDir.open(str(folder / "step"))
noted("listing", lambda: step_dir.sizes)

from mama_augment.caption.input import prompts
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

noted("prompts", render)
print(json.dumps(found))
"""


def main(
    before: Annotated[Path, typer.Option(help="A checkout of the code before.")],
    after: Annotated[Path, typer.Option(help="A checkout of the code after.")] = HERE,
    rounds: Annotated[int, typer.Option(help="How often each is run.")] = 3,
) -> None:
    """Print a table: seconds before and after, and their ratio."""
    best: dict[str, list[float]] = defaultdict(lambda: [float("inf")] * 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        for _ in range(rounds):
            for place, tree in enumerate((before, after)):
                for work, seconds in measured(tree, folder).items():
                    best[work][place] = min(best[work][place], seconds)
    print("| work | before, s | after, s | ratio |")
    print("|---|---|---|---|")
    for work, (old, new) in best.items():
        print(f"| {work} | {old:.4f} | {new:.4f} | {new / old:.2f} |")


def measured(tree: Path, folder: Path) -> dict[str, float]:
    """Processor seconds of each work, with the code of a checkout."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", CHILD, str(folder)],
        env={**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
