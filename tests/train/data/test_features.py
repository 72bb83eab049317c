"""Shards of vectors: the types that are read, and what is refused with file and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mama_augment.core.errors import InputError
from mama_train.data.config import DataConfig
from mama_train.data.features import heads_config
from mama_train.data.index import SplitIndex, read_index
from mama_train.data.loader import Loader
from mama_train.data.rows import all_texts, check_aligned
from mama_train.data.source import BatchSource, open_rows
from mama_train.models.config import ModelConfig
from mama_train.models.specs import FeatureSpec, FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from tests.train.features_helper import PER_FRAME, WIDTH, write_feature_shards

SIZES = {"train": 12}


def train_index(out: Path, **changes: Any) -> SplitIndex:
    return read_index(str(write_feature_shards(out, SIZES, **changes)), "train")


def source(index: SplitIndex, spec: FeatureSpec, *, cache: bool = False) -> BatchSource:
    tokenizer = TextTokenizer.of_words(all_texts(index), max_tokens=8)
    return BatchSource(open_rows(index, spec), spec, tokenizer, {}, cache=cache)


@pytest.mark.parametrize(
    ("kind", "num"),
    [
        (PER_FRAME, 3),
        (pa.list_(pa.list_(pa.float64())), 3),
        (pa.list_(pa.float32()), 1),
        (pa.list_(pa.float16(), WIDTH), 1),
    ],
)
def test_lists_of_any_float_are_read(tmp_path: Path, kind: pa.DataType, num: int) -> None:
    index = train_index(tmp_path, kind=kind, column="vectors")
    found = heads_config(index, ModelConfig(name="heads", features_column="vectors"))
    assert (found.width, found.num_frames, found.column) == (WIDTH, num, "vectors")
    spec = FeatureSpec(num_frames=num, width=WIDTH, column="vectors")
    batch = source(index, spec)[np.array([[5, 0], [2, 0]]), None]
    assert batch.video.shape == (2, num, WIDTH)
    table = pa.parquet.read_table(tmp_path / "train" / "000.parquet")
    expected = np.array(table["vectors"][5].as_py(), np.float32).reshape(num, WIDTH)
    np.testing.assert_allclose(batch.video[0].numpy(), expected, rtol=1e-6)


def test_vectors_are_chosen_as_frames_are(tmp_path: Path) -> None:
    index = train_index(tmp_path)
    for cache in (False, True):
        clips = source(index, FeatureSpec(num_frames=2, width=WIDTH), cache=cache)
        whole = source(index, FeatureSpec(num_frames=3, width=WIDTH)).video(4)
        np.testing.assert_array_equal(clips.video(4), whole[[0, 2]])
        drawn = {clips.video(4, draw).tobytes() for draw in range(40)}
        assert len(drawn) > 1


WRONG: list[tuple[Any, str]] = [
    (None, "features is missing"),
    ([], "features is missing"),
    ([[1.0] * (WIDTH + 1)] * 2, f"has vectors of {WIDTH + 1} dimensions; the model takes {WIDTH}"),
    ([[1.0] * WIDTH, [1.0]], "holds vectors of several sizes"),
    ([[1.0] * WIDTH, None], "holds a vector that is missing"),
    ([[float("nan")] * WIDTH], "holds NaN, infinity or a number that is missing"),
    ([[1.0] * (WIDTH - 1) + [None]], "holds NaN, infinity or a number that is missing"),
]


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_what_is_no_vector_is_named_with_file_and_row(
    tmp_path: Path, value: Any, message: str
) -> None:
    index = train_index(tmp_path, kind=pa.list_(pa.list_(pa.float32())), changed={6: value})
    clips = source(index, FeatureSpec(num_frames=3, width=WIDTH))
    clips.video(5)
    with pytest.raises(InputError, match=message) as error:
        clips.video(6)
    assert f"{tmp_path}/train/000.parquet row 6 (clip 'train-6')" in str(error.value)


def test_other_columns_and_types_are_refused(tmp_path: Path) -> None:
    index = train_index(tmp_path / "a")
    with pytest.raises(InputError, match=r"lacks the column clip_vectors; .*--features-column"):
        heads_config(index, ModelConfig(name="heads", features_column="clip_vectors"))
    with pytest.raises(InputError, match="is of type string; a list of vectors"):
        heads_config(index, ModelConfig(name="heads", features_column="clip_id"))
    with pytest.raises(InputError, match="lacks the column frames"):
        open_rows(index, FrameSpec(num_frames=2, size_px=8))
    whole = train_index(
        tmp_path / "b", kind=pa.list_(pa.int32()), changed={i: [1] for i in range(12)}
    )
    with pytest.raises(InputError, match="holds int32, where float16, float32 or float64"):
        heads_config(whole, ModelConfig(name="heads"))


def test_batches_say_which_captions_are_of_their_clip(tmp_path: Path) -> None:
    index = train_index(tmp_path / "a", noise=0.5)
    check_aligned(index)
    tokenizer = TextTokenizer.of_words(all_texts(index), max_tokens=8)
    spec = FeatureSpec(num_frames=3, width=WIDTH)
    data = DataConfig(batch_size=12)
    _, batch = next(Loader(index, spec, tokenizer, {}, data, seed=0).batches())
    assert batch.aligned_B is not None
    assert 0 < int(batch.aligned_B.sum()) < 12
    without = train_index(tmp_path / "b")
    assert source(without, spec)[np.array([[0, 0]]), None].aligned_B is None
    with pytest.raises(InputError, match="weights oracle needs the truth about captions"):
        check_aligned(without)
