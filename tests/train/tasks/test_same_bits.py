"""Retrieval does not feel what is for others: questions and regions in the shards change no bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mama_augment.core import schema
from mama_train.config import TrainConfig
from mama_train.data.index import read_index
from mama_train.data.source import BatchSource, open_rows
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.run.checkpoint import find_checkpoint
from mama_train.run.loop import train
from tests.train.questions_helper import write_question_shards
from tests.train.regions_helper import add_regions
from tests.train.shards_helper import write_shards

SIZES = {"train": 12, "meta": 6, "val": 4, "test": 4}


def trained(shards: Path, out: Path) -> tuple[dict[str, bytes], Any]:
    fields = {"steps": 4, "batch_size": 6, "meta_batch_size": 4, "num_frames": 2, "meta_every": 2}
    result = train(TrainConfig.of(shards=str(shards), out=str(out), tensorboard=False, **fields))
    folder = find_checkpoint(result.out, which="last")
    names = ("model.safetensors", "weight_net.safetensors")
    return {name: (folder / name).read_bytes() for name in names}, result.metrics["test"]


def test_retrieval_is_the_same_bit_for_bit_with_questions_and_regions(tmp_path: Path) -> None:
    plain = trained(write_shards(tmp_path / "plain", SIZES), tmp_path / "a")
    asked = add_regions(write_question_shards(tmp_path / "asked", SIZES))
    assert trained(asked, tmp_path / "b") == plain


def test_clips_of_one_video_are_not_negatives_of_each_other(tmp_path: Path) -> None:
    plain = write_shards(tmp_path / "plain", SIZES)
    shared = write_shards(tmp_path / "shared", SIZES)
    for number, file in enumerate(sorted((shared / "train").glob("*.parquet"))):
        table = pq.read_table(file)
        videos = pa.array([100 * number + i // 2 for i in range(len(table))], pa.uint64())
        pq.write_table(table.append_column(schema.VIDEO_KEY, videos), file, row_group_size=8)
    visits = np.array([[0, 0], [1, 0], [2, 0], [3, 0]])
    found = []
    for place in (plain, shared):
        index = read_index(str(place), "train")
        spec = FrameSpec(num_frames=2, size_px=16)
        words = TextTokenizer.of_words(["a"], max_tokens=8)
        source = BatchSource(open_rows(index, spec), spec, words, {}, cache=False)
        found.append(source[visits, None].clip_key_B)
    assert len(set(found[0].tolist())) == 4
    same = found[1][:, None] == found[1][None]
    assert torch.equal(same, torch.block_diag(*[torch.ones(2, 2)] * 2).bool())
