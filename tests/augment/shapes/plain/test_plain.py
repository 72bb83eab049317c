"""The plain world: shards of frames that hold the truth, whose test scenes training never shows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mama_augment.core.draws import Draws
from mama_augment.core.errors import InputError
from mama_augment.core.schema import frame_shards
from mama_augment.core.shared.jpeg import decode_jpeg
from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.plain.scenes import PlainWorld, plain_take
from mama_augment.shapes.shards.piece import Piece
from mama_augment.shapes.shards.step import MadeShards
from mama_augment.shapes.world.scene import Scene, parse_caption
from mama_train.data.index import read_index
from mama_train.data.rows import check_aligned

SIZES = {"num_train": 40, "num_meta": 6, "num_val": 6, "num_test": 12}


def piece(split: str, num: int, **changes: Any) -> Piece:
    return PlainWorld(config=PlainConfig(**changes)).piece(split, 0, num)


def make(out: Path, **changes: Any) -> pa.Table:
    step = MadeShards(PlainWorld(config=PlainConfig(**{**SIZES, **changes})))
    assert run(step, StepOutput(str(out)), RuntimeConfig(num_workers=1)).exit_code == 0
    return pa.concat_tables(StepDir.open(str(out), step="balance").tables())


def test_it_is_valid_shards_that_a_trainer_takes(tmp_path: Path) -> None:
    table = make(tmp_path / "world")
    assert table.schema.equals(frame_shards())
    result = validate(str(tmp_path / "world"))
    assert not result.problems
    assert result.num_captions == 64
    check_aligned(read_index(str(tmp_path / "world"), "train"))
    told = Counter(
        caption["concept_ids"][0]
        for row in table.to_pylist()
        for caption in row["captions"]
        if row["split"] == "train"
    )
    concepts = json.loads((tmp_path / "world/concepts.json").read_text())
    assert {c["id"]: c["num_after"] for c in concepts} == {i: told[i] for i in range(6)}
    assert [c["name"] for c in concepts] == PlainWorld(config=PlainConfig()).concepts
    again = make(tmp_path / "again")
    assert again.equals(table)
    assert not make(tmp_path / "other", seed=1).equals(table)


def test_scenes_of_test_and_val_are_never_in_train() -> None:
    world = PlainWorld(config=PlainConfig(num_concepts=12, zipf_exponent=0))
    rng = np.random.default_rng(0)
    trained = set(zip(*world._train(np.arange(20_000), rng), strict=True))
    held_out = {
        split: set(zip(*world._clean(split, np.arange(400)), strict=True))
        for split in ("test", "val", "meta")
    }
    assert len(trained) == 12 * 18
    assert {split: len(of) for split, of in held_out.items()} == {
        "test": 12 * 8,
        "val": 12 * 4,
        "meta": 12 * 18,
    }
    assert not trained & (held_out["test"] | held_out["val"])
    assert not held_out["test"] & held_out["val"]
    assert held_out["meta"] == trained


def test_captions_are_wrong_at_the_noise_rate_and_say_so() -> None:
    some = piece("train", 400, noise_rate=0.5, seed=3)
    assert some.is_aligned_N.mean() == pytest.approx(0.5, abs=0.08)
    assert piece("train", 40, noise_rate=0.0).is_aligned_N.all()
    assert piece("test", 40, noise_rate=1.0).is_aligned_N.all()
    world = PlainWorld(config=PlainConfig())
    for text, concept in zip(some.texts, some.told.concept_N.tolist(), strict=True):
        scene = parse_caption(text)
        assert scene is not None
        assert scene.concept == world.concepts[concept]


def test_frames_show_the_scene_and_nothing_else_moves() -> None:
    """A red circle on a dull background: its pixels' centre goes where the caption says."""
    some = piece("test", 48)
    found = 0
    for text, files in zip(some.texts, some.columns["frames"].to_pylist(), strict=True):
        scene = parse_caption(text)
        assert scene is not None
        if scene.colour != "red" or scene.first_motion not in ("moves left", "moves right"):
            continue
        places = []
        for file in files[:6]:
            red, green, blue = np.moveaxis(decode_jpeg(file).astype(int), 2, 0)
            places.append(np.nonzero((red > 1.8 * green) & (red > 1.8 * blue))[1].mean())
        way = np.sign(places[-1] - places[0])
        assert way == (-1 if scene.first_motion == "moves left" else 1), text
        found += 1
    assert found > 1


def test_takes_are_single_and_still() -> None:
    scene = Scene(colour="red", shape="circle", first_motion="moves left", second_motion="grows")
    for number in range(20):
        take = plain_take(scene, Draws((number,)))
        assert (len(take.shots), take.shake_px, take.tilt_degrees) == (1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "value"), [("num_concepts", 5), ("num_concepts", 13), ("num_train", 0)]
)
def test_dials_that_make_no_world_are_refused(name: str, value: int) -> None:
    with pytest.raises(InputError, match=name):
        PlainConfig(**{name: value})
