"""`caption` and given splits: clips that `balance` would refuse generated text for get none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mama_augment.balance.config import BalanceStep
from mama_augment.caption.engines import EngineConfig
from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from tests.augment.caption.test_plan import following
from tests.augment.caption.test_step import SETTINGS, caption, jpeg, rejects, texts
from tests.augment.scripted_engine import Script
from tests.augment.steps import CaptionRun, forecast_of, run_balance
from tests.augment.worlds import clip, write_clips

SPLIT_OF = {"c03": "val", "c07": "test", "c08": "meta", "c09": "train"} | {
    f"c{i:02d}": "test" for i in range(14, 20)
}
"""The third unit of 7 clips is held out as a whole; clips that are not named have no split."""
RESERVED = sorted(clip_id for clip_id, split in SPLIT_OF.items() if split != "train")
EVERY = replace(SETTINGS, every_split=True)


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    rows = [
        clip(f"c{i:02d}", (f"a trusted text {i}", "human", True), split=SPLIT_OF.get(f"c{i:02d}"))
        | {"frames": [jpeg(grey=10 * i + 5), jpeg(grey=10 * i)]}
        for i in range(20)
    ]
    return write_clips(tmp_path / "clips", rows)


def test_held_out_clips_get_no_caption_and_are_told_of(clips_dir: str, tmp_path: Path) -> None:
    out, script = tmp_path / "out", Script()
    ledger = caption(clips_dir, out, start=script.start, settings=replace(SETTINGS, num_captions=2))
    train = [f"c{i:02d}" for i in range(20) if f"c{i:02d}" not in RESERVED]
    assert list(texts(out)) == [(clip_id, index) for clip_id in train for index in range(2)]
    assert (ledger.num_in, ledger.num_ok, ledger.exit_code) == (22, 22, 0)
    assert len(script.asked) == len(train) == 11
    found = StepDir.open(str(out))
    assert dict(found.manifest.units) == {"00000": 12, "00001": 10, "00002": 0}
    assert found.manifest.left_out == {"split_reserved": 9}
    assert audit(found, deep=True).holds
    told = CliRunner().invoke(app, ["status", str(out)])
    assert told.exit_code == 0
    assert "9 clips get no caption, split_reserved" in told.output


def test_every_split_captions_all_of_them_and_says_the_same(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "train")
    ledger = caption(clips_dir, tmp_path / "every", settings=EVERY)
    assert (ledger.num_in, ledger.num_ok) == (20, 20)
    every = texts(tmp_path / "every")
    assert {(clip_id, 0) for clip_id in RESERVED} <= set(every)
    assert texts(tmp_path / "train") == {p: t for p, t in every.items() if p[0] not in RESERVED}
    assert "left_out" not in json.loads((tmp_path / "every/manifest.json").read_text())


def test_frames_of_a_clip_that_is_left_out_are_not_decoded(tmp_path: Path) -> None:
    bad = {"frames": [b"no picture"]}
    rows = [clip("a"), clip("b", split="test") | bad, clip("c", split="train") | bad]
    source = write_clips(tmp_path / "clips", rows)
    caption(source, tmp_path / "out")
    assert list(rejects(tmp_path / "out")) == ["c#0"]
    caption(source, tmp_path / "every", settings=EVERY)
    assert list(rejects(tmp_path / "every")) == ["b#0", "c#0"]


def test_the_flag_is_part_of_the_config(clips_dir: str, tmp_path: Path) -> None:
    """Also where no clip is held out: one may be added later, and its captions must not go."""
    plain = write_clips(tmp_path / "plain", [clip("a"), clip("b", split="train")])
    caption(plain, tmp_path / "out", settings=EVERY)
    caption(clips_dir, tmp_path / "every", settings=EVERY)
    for source, out in ((plain, "out"), (clips_dir, "every")):
        with pytest.raises(InputError, match="every_split was True, now False"):
            caption(source, tmp_path / out)


def test_a_plan_that_asks_for_held_out_clips_is_followed_with_the_flag_only(
    clips_dir: str, tmp_path: Path
) -> None:
    asking = following(tmp_path / "p.parquet", {"c00": 2, "c03": 3, "c14": 1})
    assert caption(clips_dir, tmp_path / "out", settings=asking).num_in == 2
    found = StepDir.open(str(tmp_path / "out"))
    assert found.manifest.left_out == {"not_planned": 17, "split_reserved": 2}
    asking = replace(asking, every_split=True)
    assert caption(clips_dir, tmp_path / "every", settings=asking).num_in == 6


def test_a_directory_of_held_out_clips_alone_is_refused(tmp_path: Path) -> None:
    source = write_clips(tmp_path / "clips", [clip("a", split="test"), clip("b", split="val")])
    with pytest.raises(InputError, match=r"all 2 clips of .* test, val, meta.*--every-split"):
        caption(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert caption(source, tmp_path / "out", settings=EVERY).num_ok == 2


def test_the_dry_run_leaves_them_out_too(clips_dir: str, tmp_path: Path) -> None:
    engine = EngineConfig(name="transformers", model="none", max_in_flight=4)
    script = Script()
    found = forecast_of(clips_dir, SETTINGS, engine, with_sample=True, start_engine=script.start)
    assert (found.num_clips, found.num_captions, found.num_requests) == (11, 11, 11)
    assert found.left_out == {"split_reserved": 9}
    assert len(set(script.asked)) == 11
    caption(clips_dir, tmp_path / "one")
    found = forecast_of(clips_dir, EVERY, engine, how=CaptionRun(reuse_uri=str(tmp_path / "one")))
    assert (found.num_captions, found.num_there, found.left_out) == (20, 11, {})


def test_balance_makes_the_same_shards_without_them(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "train")
    caption(clips_dir, tmp_path / "every", settings=EVERY)
    (tmp_path / "words.txt").write_text("video\ntext")
    concepts = ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "words.txt"))
    step = BalanceStep(concepts=concepts)
    for name in ("train", "every"):
        out = str(tmp_path / f"shards-{name}")
        run_balance(clips_dir, [str(tmp_path / name)], out, step, RuntimeConfig(num_workers=1))
    for split in SPLITS:
        shards = [
            [path.read_bytes() for path in sorted((tmp_path / out / split).glob("*.parquet"))]
            for out in ("shards-train", "shards-every")
        ]
        assert shards[0]
        assert shards[0] == shards[1]
    wasted = [r for r in rejects(tmp_path / "shards-every").items() if "generated" in r[0]]
    assert len(wasted) == len(RESERVED)
    assert {reason for _, (_, reason, _) in wasted} == {"split_reserved"}
    assert not any("generated" in key for key in rejects(tmp_path / "shards-train"))
