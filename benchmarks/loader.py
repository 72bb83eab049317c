"""The loader: frames per second against webdataset on the same JPEGs, and the cost of resuming.

    pip install 'mama-video[bench]'
    python benchmarks/loader.py [--num-clips 512 --workers 2]

All hand over the same clips, 12 frames of 224 px from JPEGs of 341x256, in batches of the same
size, through the same number of workers. webdataset decodes once by its own means (decode("rgb8"),
and Pillow to size), and once by this project's function, which tells decoding from the rest. The
shards' order is a full shuffle inside a window, that of webdataset its own shuffle buffer of as
many clips. Rounds alternate, so that a busy machine disturbs all alike; ratios are medians over
rounds. CPU time is that of all processes, whoever else is at work. Resuming: time from nothing to
the first batch in the middle of an epoch of a million clips (of one tiny frame each).
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import resource
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageOps

from mama_augment.core.schema import SHARDS
from mama_train.data.config import DataConfig
from mama_train.data.frames import choose_frames, decode_frames
from mama_train.data.index import read_index
from mama_train.data.loader import Loader, Position
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer

SPEC = FrameSpec(num_frames=12, size_px=224)
BATCH = 16
CLIPS_PER_FILE = 32


def jpeg_frames(rng: np.random.Generator, num: int = 12) -> list[bytes]:
    """Frames of 341x256 px that compress like photographs do (about 15 kB)."""
    coarse = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    files = []
    for _ in range(num):
        image = cv2.resize(coarse, (341, 256), interpolation=cv2.INTER_CUBIC)
        image = cv2.add(image, rng.integers(0, 12, image.shape).astype(np.uint8))
        files.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return files


def row(clip_id: str, frames: list[bytes], text: str) -> dict[str, Any]:
    caption = {
        "text": text,
        "source": "human",
        "trusted": False,
        "concept_ids": [0],
        "keep_probability": 1.0,
    }
    return {
        "split": "train",
        "clip_id": clip_id,
        "frames": frames,
        "frame_seconds": [0.5 * i for i in range(len(frames))],
        "captions": [caption],
    }


def write_data(folder: Path, num_clips: int) -> None:
    """The same clips as Parquet shards and as tars."""
    rng = np.random.default_rng(0)
    (folder / "shards/train").mkdir(parents=True)
    (folder / "tars").mkdir()
    for start in range(0, num_clips, CLIPS_PER_FILE):
        number = start // CLIPS_PER_FILE
        count = min(CLIPS_PER_FILE, num_clips - start)
        rows = [row(f"{start + i:08d}", jpeg_frames(rng), f"clip {i}") for i in range(count)]
        table = pa.Table.from_pylist(rows, SHARDS)
        pq.write_table(table, folder / f"shards/train/{number:05d}.parquet", compression="zstd")
        with tarfile.open(folder / f"tars/{number:05d}.tar", "w") as tar:
            for r in rows:
                files = {f"{i:02d}.jpg": jpeg for i, jpeg in enumerate(r["frames"])}
                files["json"] = json.dumps({"text": r["captions"][0]["text"]}).encode()
                for name, content in files.items():
                    info = tarfile.TarInfo(f"{r['clip_id']}.{name}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def from_shards(folder: Path, workers: int, tokenizer: TextTokenizer) -> Iterator[Any]:
    index = read_index(str(folder / "shards"), "train")
    data = DataConfig(
        batch_size=BATCH,
        num_workers=workers,
        window_clips=4 * CLIPS_PER_FILE,
        augment=0.0,
        cache_bytes=0,
    )
    loader = Loader(index, SPEC, tokenizer, {}, data, seed=0)
    return (batch for _, batch in islice(loader.batches(), len(loader.epoch(0))))


def ours(sample: dict[str, Any]) -> tuple[np.ndarray[Any, Any], str]:
    files = [sample[f"{i:02d}.jpg"] for i in range(12)]
    video = decode_frames(files, choose_frames(12, 12), SPEC, clip_id=sample["__key__"])
    return video, json.loads(sample["json"])["text"]


def its_own(sample: dict[str, Any]) -> tuple[np.ndarray[Any, Any], str]:
    """Of a sample that webdataset decoded: the middle square of each frame, by Pillow."""
    frames = [Image.fromarray(sample[f"{i:02d}.jpg"]) for i in range(12)]
    squares = [
        ImageOps.fit(f, (SPEC.size_px, SPEC.size_px), Image.Resampling.BILINEAR) for f in frames
    ]
    return np.stack([np.asarray(s) for s in squares]), sample["json"]["text"]


def from_tars(
    folder: Path, workers: int, tokenizer: TextTokenizer, *, by_ours: bool
) -> Iterator[Any]:
    import webdataset as wds

    def collate(samples: list[tuple[np.ndarray[Any, Any], str]]) -> Any:
        video = torch.from_numpy(np.stack([s[0] for s in samples]))
        return video, *tokenizer.encode([s[1] for s in samples])

    tars = sorted(str(p) for p in (folder / "tars").glob("*.tar"))
    samples = wds.WebDataset(tars, shardshuffle=len(tars), seed=0).shuffle(
        4 * CLIPS_PER_FILE // max(1, workers)
    )
    decoded = samples.map(ours) if by_ours else samples.decode("rgb8").map(its_own)
    dataset = decoded.batched(BATCH, collation_fn=collate)
    return iter(wds.WebLoader(dataset, batch_size=None, num_workers=workers))


def frames_per_second(batches: Iterator[Any]) -> tuple[float, float]:
    """(frames per second, CPU milliseconds per frame of all processes)."""
    started, cpu, num = time.perf_counter(), cpu_seconds(), 0
    for batch in batches:
        num += len(batch[0]) if isinstance(batch, (tuple, list)) else len(batch)
    num *= SPEC.num_frames
    seconds = time.perf_counter() - started
    del batches  # its processes end, and their CPU time is known
    gc.collect()
    return num / seconds, 1000 * (cpu_seconds() - cpu) / num


def cpu_seconds() -> float:
    """Of this process and of those of its children that are over."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(u.ru_utime + u.ru_stime for u in used)


def resume_seconds(folder: Path, num_rows: int, tokenizer: TextTokenizer) -> dict[str, float]:
    """Write a million-row split, then time its index, and order and first batch from the middle."""
    (folder / "many/train").mkdir(parents=True)
    tiny = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    block = [row("", [tiny], f"a clip of kind {i}") for i in range(10_000)]
    for number in range(num_rows // len(block)):
        table = pa.Table.from_pylist(block, SHARDS)
        ids = pa.array([f"{number:04d}-{i:05d}" for i in range(len(block))])
        table = table.set_column(1, SHARDS.field("clip_id"), ids)
        path = folder / f"many/train/{number:05d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=1000)
    started = time.perf_counter()
    index = read_index(str(folder / "many"), "train")
    indexed = time.perf_counter()
    data = DataConfig(batch_size=256, augment=0.0, cache_bytes=0)
    loader = Loader(index, SPEC, tokenizer, {}, data, seed=0)
    middle = Position(epoch=3, batch=num_rows // 256 // 2)
    next(loader.batches(middle))
    done = time.perf_counter()
    return {"index": indexed - started, "order and first batch": done - indexed}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-clips", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resume-rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = TextTokenizer.of_words([f"clip {i}" for i in range(1000)], max_tokens=8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, arguments.num_clips)
        makers: dict[str, Callable[[Path, int, TextTokenizer], Iterator[Any]]] = {
            "shards": from_shards,
            "webdataset": partial(from_tars, by_ours=False),
            "webdataset, our decoder": partial(from_tars, by_ours=True),
        }
        rates: dict[str, list[tuple[float, float]]] = {kind: [] for kind in makers}
        for _ in range(arguments.rounds):
            for kind, make in makers.items():
                batches = make(folder, arguments.workers, tokenizer)
                rates[kind].append(frames_per_second(batches))
        for kind, values in rates.items():
            rate, cpu = (statistics.median(v[i] for v in values) for i in (0, 1))
            ratios = [
                (ours[0] / its[0], its[1] / ours[1])
                for ours, its in zip(rates["shards"], values, strict=True)
            ]
            by_rate, by_cpu = (statistics.median(r[i] for r in ratios) for i in (0, 1))
            print(
                f"{kind:24} {rate:8.0f} frames/s {cpu:6.2f} CPU ms/frame; "
                f"shards are {by_rate:.2f}x as fast, {by_cpu:.2f}x by CPU",
                flush=True,
            )
        found = resume_seconds(folder, arguments.resume_rows, tokenizer)
        parts = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in found.items())
        total = sum(found.values())
        print(f"resuming in {arguments.resume_rows:,} clips: {total:.2f} s ({parts})")


if __name__ == "__main__":
    main()
