"""What key frames cost, as a multiple of a plain decode of the same file in the same run.

    python benchmarks/keyframes.py --folder /tmp/footage           # the whole table: about an hour
    python benchmarks/keyframes.py --folder /tmp/footage --seconds 10 --seconds 60

Every way runs as the command runs it (an isolated process, JPEGs included, its start apart);
the plain decode is PyAV with its own choice of threads. Runs alternate, the fastest of each counts.
First the ratio of elapsed time, then that of processor time, which other work on the machine blurs
less.
The second table says what the shots of generated clips get (cuts at random times, flashes, fast
motion).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, pairwise, product
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer
from footage import FPS, Footage, Truth, repeat_footage, write_footage

from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.decode.config import LimitsConfig, Span
from mama_augment.inputs.find import find_clips
from mama_augment.keyframes.config import ClipConfig, ClipFrames, KeyFramesStep, threads_per_worker
from mama_augment.keyframes.step import EXTRACT, KeyFrames
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.isolate import IsolationError

PART_SECONDS = 60
"""Longer clips repeat one of this length: encoding ten minutes of 1080p takes most of an hour."""
LEAST_SECONDS = 4.0
"""Clips so short that a disturbance of the machine shows are measured for so long, each way."""
SIZES = {"240p": (426, 240), "720p": (1280, 720), "1080p": (1920, 1080)}
FOLDER = Path(tempfile.gettempdir(), "mama-footage")
GROUPS = {"many groups": 2 * FPS, "one group": 10**6}
WAYS = {
    "`peaks`": ("peaks", "av"),
    "`packets`": ("packets", "av"),
    "`iframes`": ("iframes", "av"),
    "`uniform`": ("uniform", "av"),
    "`peaks` by decord": ("peaks", "decord"),
}


def main(
    folder: Annotated[Path, typer.Option(help="Generated footage is kept here.")] = FOLDER,
    seconds: Annotated[list[int], typer.Option(help="Lengths of the clips.")] = [10, 60, 600],  # noqa: B006
    sizes: Annotated[list[str], typer.Option("--size")] = list(SIZES),  # noqa: B006
    repeats: Annotated[int, typer.Option(help="The fastest of at least so many.")] = 3,
    num_quality_clips: Annotated[int, typer.Option("--quality-clips")] = 200,
) -> None:
    """Print both tables."""
    folder.mkdir(parents=True, exist_ok=True)
    print("| clip | plain decode | " + " | ".join(WAYS) + " | peak memory of `peaks` |")
    print("|---" * (len(WAYS) + 3) + "|")
    for length, size, group in product(seconds, sizes, GROUPS):
        path = footage_file(folder, size, length, group)
        plain, costs, memory_mb = measure(path, repeats)
        cells = " | ".join(
            f"{cost.wall / plain.wall:.2f}x ({cost.cpu / plain.cpu:.2f}x)" if cost else "killed"
            for cost in costs.values()
        )
        is_repeated = length > PART_SECONDS and group == "one group"
        name = f"{size} {length} s, {'a group a minute' if is_repeated else group}"
        print(f"| {name} | {plain.wall:.3f} s | {cells} | {memory_mb} MB |", flush=True)
    if num_quality_clips:
        print()
        quality(folder, num_quality_clips)
        print()
        throughput(folder)


def footage_file(folder: Path, size: str, length: int, group: str) -> Path:
    path = folder / f"{size}-{length}s-{group.replace(' ', '-')}.mp4"
    if not path.exists() and length > PART_SECONDS:
        part = footage_file(folder, size, PART_SECONDS, group)
        repeat_footage(path, part, length // PART_SECONDS)
    elif not path.exists():
        width, height = SIZES[size]
        footage = Footage(
            width_px=width,
            height_px=height,
            num_frames=length * FPS,
            num_shots=max(3, length // 6),
            gop_frames=GROUPS[group],
            scenecut=group == "many groups",
            preset="superfast",
            seed=length,
        )
        partial = path.with_suffix(".part.mp4")
        write_footage(partial, footage)
        partial.rename(path)
    return path


def step(strategy: str, decoder: str = "av") -> KeyFramesStep:
    limits = LimitsConfig(num_threads=threads_per_worker(1), time_limit_seconds=3600)
    choice = KeyFrameConfig(strategy=strategy)
    return KeyFramesStep(clip=ClipConfig(choice=choice, limits=limits, decoder=decoder))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run: elapsed and processor seconds."""

    wall: float
    cpu: float

    def best(self, other: Cost) -> Cost:
        return Cost(wall=min(self.wall, other.wall), cpu=min(self.cpu, other.cpu))


def measure(path: Path, repeats: int) -> tuple[Cost, dict[str, Cost | None], int]:
    """The plain decode, every way (None: killed at its memory limit), peak memory (MB) of a fresh
    `peaks` process."""
    steps = {name: step(*way) for name, way in WAYS.items()}
    workers = {name: steps[name].isolated(EXTRACT, ClipFrames) for name in WAYS}
    plain = Cost(wall=np.inf, cpu=np.inf)
    best: dict[str, Cost | None] = dict.fromkeys(WAYS, plain)
    try:
        warm_up = str(path.parent / "warm-up.mp4")
        if not Path(warm_up).exists():
            write_footage(Path(warm_up), Footage(num_frames=60, num_shots=2))
        for name, worker in workers.items():
            worker(warm_up, Span(), steps[name].clip)
        for number in count():
            if number >= repeats and number * plain.wall >= LEAST_SECONDS:
                break
            plain = plain.best(timed(lambda: decode_plainly(path), time.process_time))
            for name, worker in workers.items():
                run = partial(worker, str(path), Span(), steps[name].clip)
                best[name] = best_of_both(best[name], run, worker.cpu_seconds)
        return plain, best, workers["`peaks`"].peak_memory_mb()
    finally:
        for worker in workers.values():
            worker.close()


def best_of_both(
    before: Cost | None, run: Callable[[], object], cpu_seconds: Callable[[], float]
) -> Cost | None:
    try:
        return before and before.best(timed(run, cpu_seconds))
    except IsolationError:  # decord holds what it decodes
        return None


def decode_plainly(path: Path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def timed(function: Callable[[], object], cpu_seconds: Callable[[], float]) -> Cost:
    start, cpu_start = time.perf_counter(), cpu_seconds()
    function()
    return Cost(wall=time.perf_counter() - start, cpu=cpu_seconds() - cpu_start)


def quality(folder: Path, num_clips: int) -> None:
    """Share of shots with at least one key frame, Q = 12."""
    from mama_augment.keyframes.extract import extract_clip

    clips = [quality_clip(folder, number) for number in range(num_clips)]
    num_shots = sum(len(truth.shot_starts) for _, truth, _ in clips)
    print(f"| strategy | shots with a key frame, of {num_shots} |")
    print("|---|---|")
    for strategy in ("peaks", "packets", "auto", "iframes", "uniform"):
        config = step(strategy).clip
        hits = 0
        for path, truth, num_frames in clips:
            clip: ClipFrames = extract_clip(str(path), Span(), config)
            assert len(set(clip.frame_index)) == 12
            hits += num_hit(truth, num_frames, clip.frame_index)
        print(f"| {strategy} | {hits / num_shots:.1%} |", flush=True)
    try:
        hits = sum(num_hit(t, n, scene_middles(p)) for p, t, n in clips)
        print(f"| PySceneDetect, middle of each scene | {hits / num_shots:.1%} |")
    except ImportError:
        print("PySceneDetect is not installed here")


def scene_middles(path: Path) -> list[int]:
    """Middles of the 12 longest scenes of PySceneDetect's default detector."""
    from scenedetect import ContentDetector, detect

    scenes = detect(str(path), ContentDetector())
    bounds = [(start.frame_num, end.frame_num) for start, end in scenes]
    longest = sorted(bounds, key=lambda b: b[0] - b[1])[:12]
    return [(start + end) // 2 for start, end in longest]


def throughput(folder: Path) -> None:
    """Clips per second of the whole step with one worker and with two, and whether bytes agree."""
    clips = find_clips(f"{folder}/quality-*.mp4")
    data_files = []
    for num_workers in (1, 2):
        limits = LimitsConfig(num_threads=threads_per_worker(num_workers))
        whole_step = KeyFramesStep(clip=ClipConfig(limits=limits))
        with tempfile.TemporaryDirectory() as out:
            runtime = RuntimeConfig(num_workers=num_workers)
            done = run(KeyFrames(clips, whole_step), StepOutput(out), runtime)
            rate = clips.num_rows / done.seconds
            data_files.append(sorted(path.name for path in Path(out).glob("*.parquet")))
        print(f"{num_workers} workers: {rate:.1f} clips/s", flush=True)
    print("the same files" if data_files[0] == data_files[1] else "DIFFERENT FILES")


def num_hit(truth: Truth, num_frames: int, chosen: list[int]) -> int:
    edges = [*truth.shot_starts, num_frames]
    return sum(any(a <= index < b for index in chosen) for a, b in pairwise(edges))


def quality_clip(folder: Path, number: int) -> tuple[Path, Truth, int]:
    rng = np.random.default_rng(number)
    footage = Footage(
        width_px=320,
        height_px=180,
        num_frames=int(rng.integers(150, 500)),
        num_shots=int(rng.integers(3, 13)),
        num_flashes=int(rng.integers(0, 5)),
        fast_motion=number % 2 == 0,
        gop_frames=int(rng.choice([30, 60, 250])),
        scenecut=number % 4 != 3,
        seed=1000 + number,
    )
    path = folder / f"quality-{number}.mp4"
    record = path.with_suffix(".json")
    if not record.exists():
        record.write_text(json.dumps(asdict(write_footage(path, footage))))
    return path, Truth(**json.loads(record.read_text())), footage.num_frames


if __name__ == "__main__":
    typer.run(main)
