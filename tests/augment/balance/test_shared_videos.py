"""Clips of one video are told in the shards, and only where there are such."""

from __future__ import annotations

from pathlib import Path

from mama_augment.core.schema import SHARDS
from mama_augment.people.validate import validate
from tests.augment.balance.test_questions import balanced, directory, rows_of
from tests.augment.worlds import clip


def test_clips_of_one_video_have_one_key(tmp_path: Path) -> None:
    rows = [clip(f"c{i}", f"a red thing {i}", video=f"v{i // 3}.mp4") for i in range(9)]
    shards = balanced(tmp_path, directory(tmp_path, rows), keep_share=1.0)
    keys = {row["clip_id"]: row["video_key"] for row in rows_of(shards)}
    assert len(set(keys.values())) == 3
    assert all(keys[f"c{i}"] == keys[f"c{i - i % 3}"] for i in range(9))
    assert not validate(str(tmp_path / "shards")).problems


def test_where_each_clip_is_a_video_nothing_is_added(tmp_path: Path) -> None:
    rows = [clip(f"c{i}", f"a red thing {i}") for i in range(4)]
    shards = balanced(tmp_path, directory(tmp_path, rows), keep_share=1.0)
    assert "video_key" not in next(iter(shards.tables())).column_names
    assert set(SHARDS.names) <= set(next(iter(shards.tables())).column_names)
