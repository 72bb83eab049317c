"""What a person accepted serves where it was reviewed for, and nowhere else; all of it counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.review.verdicts import Verdict, Verdicts
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips


def asked(clip_id: str, text: str, split: str | None) -> dict[str, Any]:
    fields = {"clip_id": clip_id, "raw_text": text, "split": split, "source": "generated:tiny"}
    return {**fields, "video_uri": f"{clip_id}.mp4", "caption_index": 0, "concept": None}


def review(path: Path, *verdicts: tuple[str, str, str | None, Verdict]) -> str:
    """(clip, text, split, verdict) each."""
    opened = Verdicts.open(str(path), [asked(*v[:3]) for v in verdicts], {}, [])
    for number, (*_, verdict) in enumerate(verdicts):
        opened.judge(number, verdict)
    return str(path)


ACCEPTED = Verdict(verdict="accepted")
REJECTED = Verdict(verdict="rejected", reason="wrong")


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, str]:
    """40 clips of 20 videos, two captions each."""
    rows = [clip(f"c{i:02d}", video=f"v{i // 2:02d}.mp4") for i in range(40)]
    captions = [caption(f"c{i:02d}", k, f"a red dog {i} {k}") for i in range(40) for k in range(2)]
    return write_clips(tmp_path / "clips", rows), write_captions(tmp_path / "captions", captions)


def balanced(
    world: tuple[str, str], tmp_path: Path, reviews: str | None, name: str = "shards", **more: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows, stats) of balanced shards."""
    (tmp_path / "words.txt").write_text("dog\n")
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "words.txt")),
        balance=BalanceConfig(cap=float("inf")),
        reviews=reviews,
        sizes=more.pop("sizes", SplitSizes(val=0, test=0)),
        **more,
    )
    clips, captions = world
    out = str(tmp_path / name)
    step_dir = run_balance(clips, [captions], out, step, RuntimeConfig(num_workers=1))
    assert audit(step_dir, deep=True).is_well
    rows = [row for table in step_dir.tables() for row in table.to_pylist()]
    return rows, json.loads((Path(out) / "stats.json").read_text())


def texts(rows: list[dict[str, Any]], split: str) -> dict[str, list[str]]:
    return {
        row["clip_id"]: [caption["text"] for caption in row["captions"]]
        for row in rows
        if row["split"] == split
    }


def rejects(out: Path) -> Counter[str]:
    step_dir = StepDir.open(str(out))
    return Counter(r.reason for u in step_dir.records().values() for r in step_dir.read_rejects(u))


def test_accepted_serves_edited_replaces_rejected_leaves(
    world: tuple[str, str], tmp_path: Path
) -> None:
    reviews = review(
        tmp_path / "reviews",
        ("c00", "a red dog 0 0", "meta", ACCEPTED),
        ("c04", "a red dog 4 1", "meta", Verdict(verdict="edited", text="a blue dog")),
        ("c06", "a red dog 6 0", "val", ACCEPTED),
        ("c08", "a red dog 8 0", "meta", REJECTED),
        ("c10", "a red dog 10 0", None, Verdict(verdict="edited", text="a green dog")),
        ("c12", "a red dog of an earlier day", "meta", ACCEPTED),
    )
    rows, stats = balanced(world, tmp_path, reviews)
    assert texts(rows, "meta") == {"c00": ["a red dog 0 0"], "c04": ["a blue dog"]}
    assert texts(rows, "val") == {"c06": ["a red dog 6 0"]}
    train = texts(rows, "train")
    assert len(train["c12"]) == 2, "what was accepted is not there, and holds nothing out"
    assert train["c08"] == ["a red dog 8 1"], "its other caption stays"
    assert set(train["c10"]) == {"a green dog", "a red dog 10 1"}
    assert stats["reviews"] == {
        "accepted": 2,
        "edited": 2,
        "rejected": 1,
        "not_found": 1,
        "splits": {"meta": 2, "val": 1},
    }
    assert any("1 of 6 reviewed texts" in warning for warning in stats["warnings"])
    assert rejects(tmp_path / "shards")["review_rejected"] == 1
    sources = {c["text"]: (c["source"], c["trusted"]) for r in rows for c in r["captions"]}
    assert sources["a blue dog"] == ("review", True)
    assert sources["a red dog 0 0"] == ("generated:tiny", True)
    assert sources["a red dog 8 1"] == ("generated:tiny", False)


def test_no_clip_and_no_video_stands_on_both_sides(world: tuple[str, str], tmp_path: Path) -> None:
    reviews = review(
        tmp_path / "reviews",
        *((f"c{i:02d}", f"a red dog {i} 0", "meta", ACCEPTED) for i in range(0, 20, 4)),
        *((f"c{i:02d}", f"a red dog {i} 0", "test", ACCEPTED) for i in range(2, 20, 4)),
    )
    rows, _ = balanced(world, tmp_path, reviews)
    split_of_video: dict[int, set[str]] = {}
    for row in rows:
        split_of_video.setdefault(int(row["clip_id"][1:]) // 2, set()).add(row["split"])
    assert all(len(splits) == 1 for splits in split_of_video.values())
    assert len(texts(rows, "meta")) == len(texts(rows, "test")) == 5
    # In held-out rows every text is one that a person has accepted.
    assert all(len(t) == 1 for split in ("meta", "test") for t in texts(rows, split).values())
    assert len(texts(rows, "train")) == 20


def test_a_rejected_text_takes_its_copies_with_it_and_no_other_text(tmp_path: Path) -> None:
    rows = [clip("c0", ("a dog", "human", True), "A DOG"), clip("c1", "a dog")]
    clips = write_clips(tmp_path / "clips", rows)
    captions = write_captions(tmp_path / "captions", [caption("c0", 0, "a dog")])
    reviews = review(tmp_path / "reviews", ("c0", "a dog", None, REJECTED))
    sizes = SplitSizes(meta=0, val=0, test=0)
    found, stats = balanced((clips, captions), tmp_path, reviews, sizes=sizes)
    assert texts(found, "train") == {"c0": ["A DOG"], "c1": ["a dog"]}
    assert stats["rejects"] == {"review_rejected": 2}


def test_an_edit_that_says_what_another_text_says_is_its_duplicate(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", [clip("c0", "a dog"), clip("c1", "a cat")])
    captions = write_captions(tmp_path / "captions", [caption("c0", 0, "a dig")])
    edit = Verdict(verdict="edited", text="A dog")
    reviews = review(tmp_path / "reviews", ("c0", "a dig", "meta", edit))
    found, stats = balanced((clips, captions), tmp_path, reviews)
    assert texts(found, "meta") == {"c0": ["A dog"]}, "the trusted copy stays"
    assert stats["rejects"] == {"duplicate": 1}


def test_other_verdicts_are_another_config(world: tuple[str, str], tmp_path: Path) -> None:
    reviews = review(tmp_path / "reviews", ("c00", "a red dog 0 0", "meta", ACCEPTED))
    balanced(world, tmp_path, reviews)
    balanced(world, tmp_path, reviews)
    Verdicts.resume(StepDir.open(reviews)).judge(0, REJECTED)
    with pytest.raises(InputError, match="reviews was"):
        balanced(world, tmp_path, reviews)
    with pytest.raises(InputError, match="`mama-augment review` output is needed here"):
        balanced(world, tmp_path, world[0], name="other")


def test_videos_of_earlier_shards_stay_where_they_are(
    world: tuple[str, str], tmp_path: Path
) -> None:
    balanced(world, tmp_path, None, "earlier", sizes=SplitSizes(meta=0, val=0, test=0))
    reviews = review(tmp_path / "reviews", ("c00", "a red dog 0 0", "meta", ACCEPTED))
    sizes = SplitSizes(meta=0, val=0, test=0)
    earlier = str(tmp_path / "earlier")
    rows, stats = balanced(world, tmp_path, reviews, sizes=sizes, splits_from=earlier)
    assert len(texts(rows, "train")) == 40
    assert (stats["reviews"]["accepted"], stats["reviews"]["splits"]) == (1, {})
