"""A world on disk: determinism, frequencies, noise, clean splits."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mama_augment.core.errors import InputError
from mama_augment.shapes.world.config import CLEAN_SPLITS, WorldConfig
from mama_augment.shapes.world.make import Member, make_world, manifest_row, world_members
from mama_augment.shapes.world.sampling import concepts_by_rank, zipf_cumulative
from mama_augment.shapes.world.scene import CONCEPTS


def digests(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


SMALL: dict[str, Any] = {"meta": 2, "val": 0, "test": 3}


def test_the_same_config_gives_the_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    config = WorldConfig(seed=1, num_videos=30, **SMALL)
    make_world(tmp_path / "one", config, num_workers=1)
    make_world(tmp_path / "two", config, num_workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_gives_other_videos_and_texts(tmp_path: Path) -> None:
    for seed in (1, 2):
        config = WorldConfig(seed=seed, num_videos=4, meta=0, val=0, test=0)
        make_world(tmp_path / str(seed), config)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert all(one[name] != two[name] for name in one if name.endswith(".mp4"))
    assert one["manifest.csv"] != two["manifest.csv"]


def test_a_video_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    small = WorldConfig(seed=1, num_videos=3, **SMALL)
    large = WorldConfig(seed=1, num_videos=6, **SMALL)
    make_world(tmp_path / "small", small)
    make_world(tmp_path / "large", large)
    one, two = digests(tmp_path / "small"), digests(tmp_path / "large")
    videos = [name for name in one if name.endswith(".mp4")]
    assert len(videos) == 3 + 2 + 3
    assert all(one[name] == two[name] for name in videos)
    by_id = {row["clip_id"]: row for row in rows(tmp_path / "large")}
    assert all(by_id[row["clip_id"]] == row for row in rows(tmp_path / "small"))


def test_the_manifest_names_real_files_and_the_summary_counts_them(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    config = WorldConfig(seed=4, num_videos=5, **SMALL)
    world = make_world(tmp_path, config, on_video=lambda *call: calls.append(call))
    table = rows(tmp_path)
    assert calls == [(done, 10) for done in range(1, 11)]
    assert {row["video"] for row in table} == {f"videos/{p.name}" for p in tmp_path.rglob("*.mp4")}
    assert Counter(row["split"] for row in table) == {"train": 5, "meta": 2, "test": 3}
    assert world.num_by_split == {"train": 5, "meta": 2, "val": 0, "test": 3}
    assert world.num_misaligned == sum(row["misaligned"] == "true" for row in table)
    assert world.vocabulary.read_text().splitlines() == list(CONCEPTS)


def members(**config: float) -> list[Member]:
    return list(world_members(WorldConfig(**config)))  # type: ignore[arg-type]


def test_train_concepts_are_zipf_and_their_order_depends_on_the_seed() -> None:
    train = members(seed=3, num_videos=6000, zipf_exponent=1.1, meta=0, val=0, test=0)
    counts = Counter(member.scene.concept for member in train)
    shares = np.diff([0.0, *zipf_cumulative(1.1)])
    assert shares[0] / shares[9] == pytest.approx(10**1.1)
    for concept, share in zip(concepts_by_rank(3), shares, strict=True):
        tolerance = 5 * (6000 * share * (1 - share)) ** 0.5
        assert abs(counts[concept] - 6000 * share) < tolerance
    assert concepts_by_rank(3) != concepts_by_rank(4)


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_the_share_of_misaligned_captions_is_the_rate_asked_for(rate: float) -> None:
    train = members(seed=3, num_videos=3000, noise_rate=rate, meta=0, val=0, test=0)
    wrong = [member for member in train if member.described != member.scene]
    assert abs(len(wrong) - 3000 * rate) <= 5 * (3000 * rate * (1 - rate)) ** 0.5
    if wrong:  # noise follows the same Zipf law: the most frequent concept leads there, too
        frequent = Counter(member.described.concept for member in wrong).most_common(1)[0][0]
        assert frequent == concepts_by_rank(3)[0]


def test_the_flag_says_which_texts_are_wrong() -> None:
    config = WorldConfig(seed=3, num_videos=300)
    for member in world_members(config):
        row = manifest_row(config, member)
        assert (row["misaligned"] == "true") == (member.described != member.scene)
        assert member.described.concept in row["text"]
        assert row["true_caption"] == member.scene.caption


def test_clean_splits_are_trusted_true_balanced_and_share_no_scene() -> None:
    config = WorldConfig(seed=9, num_videos=10, meta=80, val=60, test=400)
    clean = [member for member in world_members(config) if member.split != "train"]
    assert all(member.described == member.scene for member in clean)
    assert all(manifest_row(config, member)["trusted"] == "true" for member in clean)
    assert len({member.scene for member in clean}) == len(clean)
    for split in CLEAN_SPLITS:
        counts = Counter(member.scene.concept for member in clean if member.split == split)
        assert len(counts) == len(CONCEPTS)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_train_texts_are_not_trusted() -> None:
    config = WorldConfig(seed=9, num_videos=20)
    train = list(islice(world_members(config), 20))
    assert {manifest_row(config, member)["trusted"] for member in train} == {"false"}


def test_sizes_may_be_numbers_or_shares() -> None:
    config = WorldConfig(num_videos=200, meta=7, val=0.1, test=0.25)
    assert [config.num_in(split) for split in ("train", *CLEAN_SPLITS)] == [200, 7, 20, 50]


@pytest.mark.parametrize(
    "wrong", [{"num_videos": 0}, {"noise_rate": 1.5}, {"test": -1}, {"zipf_exponent": -0.1}]
)
def test_impossible_worlds_are_refused_with_the_value_given(wrong: dict[str, float]) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(InputError, match=f"{name} is {value}"):
        WorldConfig(**wrong)  # type: ignore[arg-type]


def test_a_directory_holds_one_world(tmp_path: Path) -> None:
    config = WorldConfig(seed=1, num_videos=1, meta=0, val=0, test=0)
    make_world(tmp_path / "world", config)
    before = digests(tmp_path / "world")
    make_world(tmp_path / "world", config)
    assert digests(tmp_path / "world") == before
    with pytest.raises(InputError, match="another world"):
        make_world(tmp_path / "world", WorldConfig(seed=2, num_videos=1))
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        make_world(tmp_path, config)
