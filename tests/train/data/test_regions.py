"""Regions as a model of them takes them: in tracks, with boxes in numbers, nothing in holes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mama_augment.core.errors import InputError
from mama_train.data.index import read_index
from mama_train.data.regions import RegionReader, region_spec
from mama_train.data.rows import ClipRows
from mama_train.models.vgt.config import Regions
from tests.train.questions_helper import write_question_shards
from tests.train.regions_helper import CLIPS, EXTRACTOR, FRAMES, WIDTH, add_regions


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_regions(write_question_shards(tmp_path_factory.mktemp("r") / "shards", {"train": 9}))


def test_each_thing_is_one_track_of_its_clip(shards: Path) -> None:
    index = read_index(str(shards), "train")
    spec = region_spec(index, "regions", "one-to-one")
    assert (spec.num_clips, spec.num_frames, spec.width) == (CLIPS, FRAMES, WIDTH)
    assert spec.extractor == EXTRACTOR
    rows = ClipRows(index, column="regions")
    for row in range(index.num_clips):
        packed = RegionReader(spec).chosen(rows, row, None)
        assert packed.shape == spec.shape
        regions = Regions.of(torch.from_numpy(packed)[None])
        assert regions.mask_BCFR is not None
        mask = regions.mask_BCFR[0]
        is_square = regions.region_BCFRW[0][..., :4].amax(-1) > 0.5
        assert torch.equal(is_square.sum(-1), torch.ones(CLIPS, FRAMES, dtype=torch.int64))
        # The square has one track in the frames of a clip.
        assert torch.equal(is_square[:, 0], is_square[:, 1])
        assert mask[is_square].all()
        assert int((~mask).sum()) == CLIPS * FRAMES // 2
        assert not regions.region_BCFRW[0][~mask].any()
        assert not regions.box_BCFR5[0][~mask].any()
        # x1, y1, x2, y2 in shares; the area by pixels, both ends inside.
        box = regions.box_BCFR5[0][is_square][0].double()
        assert float(box[2] - box[0]) == pytest.approx(0.2, abs=1e-6)
        width, height = 64 * 0.2 + 1, 48 * 0.2 + 1
        assert float(box[4]) == pytest.approx(width * height / (64 * 48), abs=1e-6)


def test_without_linking_regions_stay_where_they_are(shards: Path) -> None:
    index = read_index(str(shards), "train")
    rows = ClipRows(index, column="regions")
    spec = region_spec(index, "regions", "none")
    packed = RegionReader(spec).chosen(rows, 0, None)
    stored = rows.clip("regions", 0)["vectors"].values.to_numpy(zero_copy_only=False)
    is_region = rows.clip("regions", 0)["is_region"].values.to_numpy(zero_copy_only=False)
    kept = stored.reshape(-1, WIDTH) * is_region[:, None]
    found = packed[:, :, :-1, :WIDTH].reshape(-1, WIDTH)
    np.testing.assert_array_equal(found, kept.astype(np.float32))


def test_other_sizes_are_refused(shards: Path) -> None:
    index = read_index(str(shards), "train")
    spec = region_spec(index, "regions", "none")
    other = type(spec)(**{**vars(spec), "num_clips": 8})
    with pytest.raises(InputError, match=r"3 clips x 2 frames.*takes 8 clips"):
        RegionReader(other).chosen(ClipRows(index, column="regions"), 0, None)
