"""Frames to train on: drawn anew by every visit, evenly spaced in evaluation, key frames where a
clip has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mama_augment.core.schema import CLIP_EXTRAS
from mama_train.data.config import DataConfig
from mama_train.data.index import read_index
from mama_train.data.loader import Loader
from mama_train.data.source import BatchSource, open_rows
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from tests.train.shards_helper import write_shards

SPEC = FrameSpec(num_frames=4, size_px=16)
NUM_STORED, NUM_CLIPS = 24, 8
KEY = 250
"""Brightness of key frames; frames to train on are darker, 10 levels from one to the next."""


def jpeg(level: int) -> bytes:
    exact = [cv2.IMWRITE_JPEG_QUALITY, 100]
    return cv2.imencode(".jpg", np.full((16, 16, 3), level, np.uint8), exact)[1].tobytes()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clip 3 has no frames to train on."""
    out = write_shards(tmp_path_factory.mktemp("shards"), {"train": NUM_CLIPS, "test": 4})
    for path in out.rglob("*.parquet"):
        table = pq.read_table(path)
        ids = table["clip_id"].to_pylist()
        listed = [
            None if i == "train-0003" else [jpeg(10 * j) for j in range(NUM_STORED)] for i in ids
        ]
        seconds = [None if f is None else [0.25 * j for j in range(NUM_STORED)] for f in listed]
        key = pa.array([[jpeg(KEY)] * 6] * len(ids), pa.list_(pa.binary()))
        table = table.set_column(2, "frames", key)
        for name, values in (("train_frame_seconds", seconds), ("train_frames", listed)):
            table = table.append_column(name, pa.array(values, CLIP_EXTRAS.field(name).type))
        pq.write_table(table, path, row_group_size=3)
    return out


def loader(shards: Path, *, seed: int = 0, **changes: Any) -> Loader:
    data = DataConfig(**{"batch_size": NUM_CLIPS, "augment": 0.0, "cache_bytes": 0} | changes)
    tokenizer = TextTokenizer.of_words(["a red square"], max_tokens=8)
    return Loader(read_index(str(shards), "train"), SPEC, tokenizer, {}, data, seed=seed)


def seen(made: Loader, num: int = 2) -> list[dict[str, tuple[int, ...]]]:
    """Of some batches, which frames each clip showed, by brightness."""
    found = []
    for _, (_, batch) in zip(range(num), made.batches(), strict=False):
        levels = batch.video[:, :, 0, 0, 0].tolist()
        found.append({i: tuple(of) for i, of in zip(batch.clip_ids, levels, strict=True)})
    return found


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_each_visit_draws_one_of_each_even_stretch(shards: Path, cache_bytes: int) -> None:
    epochs = seen(loader(shards, cache_bytes=cache_bytes, visit="clip"), 3)
    for of_epoch in epochs:
        assert len(of_epoch) == NUM_CLIPS
        for clip_id, levels in of_epoch.items():
            if clip_id == "train-0003":
                assert levels == (KEY,) * 4
                continue
            places = [level // 10 for level in levels]
            assert [place // 6 for place in places] == [0, 1, 2, 3]
    clips = [i for i in epochs[0] if i != "train-0003"]
    assert sum(len({of[i] for of in epochs}) == 3 for i in clips) >= len(clips) - 1


def test_the_draw_is_the_seeds_the_clips_and_the_epochs(shards: Path) -> None:
    """Not the batch's, the order's or the number of workers'."""
    one = seen(loader(shards, visit="clip"), 2)
    assert seen(loader(shards, visit="clip", num_workers=1), 2) == one
    halves = seen(loader(shards, visit="clip", batch_size=4), 4)
    assert [{**halves[0], **halves[1]}, {**halves[2], **halves[3]}] == one
    assert seen(loader(shards, visit="clip", seed=1), 2) != one


def test_evaluation_and_even_choice_take_evenly_spaced_frames(shards: Path) -> None:
    even = {(0, 80, 150, 230)}
    found = seen(loader(shards, frame_choice="even"), 2)
    assert {of[i] for of in found for i in of if i != "train-0003"} == even
    index = read_index(str(shards), "test")
    tokenizer = TextTokenizer.of_words(["a"], max_tokens=8)
    source = BatchSource(open_rows(index, SPEC), SPEC, tokenizer, {}, cache=False)
    assert {tuple(source.video(row)[:, 0, 0, 0].tolist()) for row in range(4)} == even


def test_without_frames_to_train_on_key_frames_stay_even_unless_asked(tmp_path: Path) -> None:
    plain = write_shards(tmp_path / "plain", {"train": NUM_CLIPS}, num_frames=12)
    assert not loader(plain).draws_frames
    assert loader(plain, augment=0.1).draws_frames
    assert loader(plain, frame_choice="drawn").draws_frames
    assert not loader(plain, augment=0.1, frame_choice="even").draws_frames
    assert loader(plain).clips.reader.column == "frames"


def test_memory_counts_all_frames_to_train_on(shards: Path) -> None:
    made = loader(shards)
    assert made.clips.reader.bytes_per_clip == NUM_STORED * 16 * 16 * 3
