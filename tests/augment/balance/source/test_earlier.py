"""`--splits-from`: when the clips grow, no video changes sides."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.validate import validate
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import clip, write_clips

COLOURS = ("red", "blue", "green")


def rows(numbers: Iterable[int], **options: Any) -> list[dict[str, Any]]:
    """Two clips per video, both trusted."""
    return [
        clip(
            f"c{i:03d}", (f"a {COLOURS[i % 3]} ball {i}", "human", True), video=video(i), **options
        )
        for i in numbers
    ]


def video(number: int) -> str:
    return f"v{number // 2}.mp4"


def balance(
    clips: str | list[str], out: Path, sizes: SplitSizes | None = None, earlier: Path | None = None
) -> StepDir:
    path = out.parent / "phrases.txt"
    path.write_text("\n".join(COLOURS))
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(path)),
        balance=BalanceConfig(cap=float("inf")),
        sizes=sizes or SplitSizes(meta=6, val=6, test=6),
        splits_from=None if earlier is None else str(earlier),
    )
    return run_balance(clips, [], str(out), step, RuntimeConfig(num_workers=1))


def splits_of(step_dir: StepDir) -> dict[str, str]:
    """By video."""
    found: dict[str, str] = {}
    for table in step_dir.tables(["clip_id", "split"]):
        for row in table.to_pylist():
            split = found.setdefault(video(int(row["clip_id"][1:])), row["split"])
            assert split == row["split"]
    return found


def num_rows(step_dir: StepDir) -> dict[str, int]:
    tables = step_dir.tables(["split"])
    splits = [split for table in tables for split in table["split"].to_pylist()]
    return {split: splits.count(split) for split in ("train", "meta", "val", "test")}


def changes(out: Path) -> Any:
    return json.loads((out / "stats.json").read_text()).get("changes")


def test_no_video_changes_its_split_when_the_clips_grow(tmp_path: Path) -> None:
    first = write_clips(tmp_path / "first", rows(range(90)))
    second = write_clips(tmp_path / "second", rows(range(90, 150)))
    before = splits_of(balance(first, tmp_path / "a"))
    clips = [first, second]
    kept = splits_of(balance(clips, tmp_path / "b", earlier=tmp_path / "a"))
    drawn = splits_of(balance(clips, tmp_path / "c"))
    assert {v: kept[v] for v in before} == before
    assert {v: drawn.get(v) for v in before} != before
    assert set(kept.values()) == {"train", "meta", "val", "test"}
    made = num_rows(StepDir.open(str(tmp_path / "b")))
    assert [made[split] for split in ("meta", "val", "test")] == [6, 6, 6]
    assert validate(str(tmp_path / "b"), clips=clips).problems == []
    assert changes(tmp_path / "c") is None


def test_a_larger_size_is_filled_from_new_videos(tmp_path: Path) -> None:
    first = write_clips(tmp_path / "first", rows(range(90)))
    second = write_clips(tmp_path / "second", rows(range(90, 150)))
    before = splits_of(balance(first, tmp_path / "a"))
    sizes = SplitSizes(meta=10, val=4, test=99)
    made = balance([first, second], tmp_path / "b", sizes, earlier=tmp_path / "a")
    kept = splits_of(made)
    assert {v: kept[v] for v in before} == before
    assert num_rows(made) | {"train": 0} == {"train": 0, "meta": 10, "val": 6, "test": 6}
    assert {v for v in kept if kept[v] == "meta" and v not in before}
    warnings = json.loads((tmp_path / "b/stats.json").read_text())["warnings"]
    assert any("--val-size 4 is less than the 6 rows" in warning for warning in warnings)
    assert any("the test split keeps its 6 rows" in w and "93 more" in w for w in warnings)


def test_a_share_is_of_all_trusted_clips_not_of_the_new_ones(tmp_path: Path) -> None:
    sizes = SplitSizes(meta=0, val=0, test=0.1)
    first = write_clips(tmp_path / "first", rows(range(100)))
    second = write_clips(tmp_path / "second", rows(range(100, 150)))
    assert num_rows(balance(first, tmp_path / "a", sizes))["test"] == 10
    made = balance([first, second], tmp_path / "b", sizes, earlier=tmp_path / "a")
    assert num_rows(made)["test"] == 15


def test_new_clips_of_a_held_out_video_serve_nowhere(tmp_path: Path) -> None:
    """And those of a video in train serve there, trusted or not."""
    one = write_clips(tmp_path / "one", rows(range(0, 80, 2)))
    other = write_clips(tmp_path / "other", rows(range(1, 80, 2)))
    before = splits_of(balance(one, tmp_path / "a"))
    made = balance([one, other], tmp_path / "b", earlier=tmp_path / "a")
    assert splits_of(made) == before
    held_out = sum(split != "train" for split in before.values())
    rejects = [r for record in made.records().values() for r in made.read_rejects(record)]
    assert [r.reason for r in rejects] == ["split_reserved"] * held_out
    assert num_rows(made)["train"] == 80 - 2 * held_out


def test_a_given_split_that_differs_is_refused(tmp_path: Path) -> None:
    sizes = SplitSizes(meta=0, val=0, test=4)
    first = write_clips(tmp_path / "first", rows(range(40)))
    before = splits_of(balance(first, tmp_path / "a", sizes))
    trained = int(next(v for v in before if before[v] == "train")[1:-4])
    tested = int(next(v for v in before if before[v] == "test")[1:-4])
    for number, given, there in ((trained, "test", "train"), (tested, "train", "test")):
        table = rows(i for i in range(40) if i // 2 != number)
        table += rows((2 * number, 2 * number + 1), split=given)
        clips = write_clips(tmp_path / given, table)
        with pytest.raises(InputError) as caught:
            balance(clips, tmp_path / "b", sizes, earlier=tmp_path / "a")
        assert f"video 'v{number}.mp4'" in str(caught.value)
        assert f"to {given}" in str(caught.value)
        assert f"has the video in {there}" in str(caught.value)


def test_splits_that_the_input_gives_as_before_are_no_contradiction(tmp_path: Path) -> None:
    """One video is given to train and to test: the clip of train is left out, now as then."""
    table = rows(range(20), split="train") + rows([20], split="test") + rows([21], split="train")
    clips = write_clips(tmp_path / "clips", table)
    before = splits_of(balance(clips, tmp_path / "a"))
    assert splits_of(balance(clips, tmp_path / "b", earlier=tmp_path / "a")) == before


def test_what_changed_is_counted_and_said(tmp_path: Path) -> None:
    sizes = SplitSizes(meta=0, val=0, test=5)
    first = write_clips(tmp_path / "first", rows(range(60)))
    before = num_rows(balance(first, tmp_path / "a", sizes))
    held_out = splits_of(StepDir.open(str(tmp_path / "a")))
    gone = next(i for i in range(60) if held_out[video(i)] == "train")
    clips = write_clips(tmp_path / "grown", rows(i for i in range(70) if i != gone))
    command = ["balance", clips, "--out", str(tmp_path / "b"), "--cap", "none"]
    command += ["--meta-size", "0", "--val-size", "0", "--test-size", "5"]
    result = CliRunner().invoke(app, [*command, "--splits-from", str(tmp_path / "a")])
    assert result.exit_code == 0, (result.output, result.exception)
    train = before["train"]
    found = changes(tmp_path / "b")
    assert found["train_clips"] == {"kept": train - 1, "new": 10, "gone": 1}
    assert found["splits"]["train"]["num_rows"] == {"before": train, "now": train + 9}
    assert found["splits"]["test"]["num_captions"] == {"before": 5, "now": 5}
    assert f"train clips {train - 1} kept, 10 new, 1 gone" in result.output
    assert "captions before" in result.output


def test_other_shards_are_another_config_and_must_be_finished_shards(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", rows(range(60)))
    balance(clips, tmp_path / "a")
    balance(clips, tmp_path / "other", SplitSizes(meta=4, val=4, test=4))
    balance(clips, tmp_path / "b", earlier=tmp_path / "a")
    balance(clips, tmp_path / "b", earlier=tmp_path / "a")
    with pytest.raises(InputError, match="another config"):
        balance(clips, tmp_path / "b", earlier=tmp_path / "other")
    with pytest.raises(InputError, match="another config"):
        balance(clips, tmp_path / "b")
    with pytest.raises(InputError, match="are both"):
        balance(clips, tmp_path / "b", earlier=tmp_path / "b")
    with pytest.raises(InputError, match="`mama-augment balance` output is needed"):
        balance(clips, tmp_path / "c", earlier=tmp_path / "clips")
    next((tmp_path / "a/units").rglob("train-*.json")).unlink()
    with pytest.raises(InputError, match="is unfinished"):
        balance(clips, tmp_path / "c", earlier=tmp_path / "a")
