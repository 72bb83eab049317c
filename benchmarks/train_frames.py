"""What do frames to train on cost: time of the decoding process, and bytes?

    python benchmarks/train_frames.py --folder DIR

Generated clips of a minute; 12 key frames by `peaks` and by `packets`, without and with a second
list of frames, in turns. Reported: processor time as a ratio to that without, and the bytes of both
lists.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from footage import FPS, Footage, write_footage

from mama_augment.decode.config import Span, TrainFramesConfig
from mama_augment.keyframes.config import ClipConfig, ClipFrames
from mama_augment.keyframes.extract import extract_clip
from mama_augment.keyframes.strategies.config import KeyFrameConfig

NUM_ROUNDS = 3


def timed(path: Path, strategy: str, num_train: int) -> tuple[float, ClipFrames]:
    config = ClipConfig(
        choice=KeyFrameConfig(strategy=strategy),
        training=TrainFramesConfig(num_frames=num_train),
    )
    started = time.process_time()
    found = extract_clip(str(path), Span(), config)
    return time.process_time() - started, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--train-frames", type=int, nargs="+", default=[16, 32, 64])
    options = parser.parse_args()
    for name, size in {"240p": (426, 240), "720p": (1280, 720)}.items():
        path = options.folder / f"train-frames-{name}-{options.seconds}.mp4"
        if not path.exists():
            footage = Footage(
                width_px=size[0],
                height_px=size[1],
                num_frames=options.seconds * FPS,
                num_shots=max(3, options.seconds // 6),
                preset="superfast",
            )
            write_footage(path, footage)
        for strategy in ("peaks", "packets"):
            numbers = [0, *options.train_frames]
            seconds: dict[int, list[float]] = {number: [] for number in numbers}
            made: dict[int, ClipFrames] = {}
            for _ in range(NUM_ROUNDS):
                for number in numbers:
                    spent, made[number] = timed(path, strategy, number)
                    seconds[number].append(spent)
            for number in options.train_frames:
                row = {
                    "clip": name,
                    "strategy": strategy,
                    "train_frames": number,
                    "cpu_seconds_without": round(min(seconds[0]), 3),
                    "ratio": round(min(seconds[number]) / min(seconds[0]), 2),
                    "key_frame_bytes": sum(map(len, made[number].frames)),
                    "train_frame_bytes": sum(map(len, made[number].train_frames or ())),
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
