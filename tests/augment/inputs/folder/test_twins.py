"""A file under two names in two splits is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mama_augment.inputs.config import InputConfig
from mama_augment.inputs.find import find_clips
from mama_augment.inputs.table.notes import Notes


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").write_bytes(b"one")
    (tmp_path / "copy.mp4").write_bytes(b"one")
    (tmp_path / "other.mp4").write_bytes(b"two")
    (tmp_path / "soft.mp4").symlink_to("a.mp4")
    os.link(tmp_path / "a.mp4", tmp_path / "hard.mp4")
    return tmp_path / "m.csv"


def remarks(manifest: Path, rows: str, *, same_content: bool = False) -> list[str]:
    manifest.write_text(f"video,split\n{rows}")
    notes = Notes()
    find_clips(str(manifest), InputConfig(same_content=same_content), notes)
    return notes.remarks


@pytest.mark.parametrize("name", ["soft.mp4", "hard.mp4"])
def test_links_are_said(manifest: Path, name: str) -> None:
    (said,) = remarks(manifest, f"a.mp4,train\n{name},test\nother.mp4,val\n")
    folder = manifest.parent
    assert said == (
        f"1 file is in two splits under two names: {folder}/a.mp4 (train) and "
        f"{folder}/{name} (test)"
    )


def test_copies_are_said_on_request(manifest: Path) -> None:
    rows = "a.mp4,train\ncopy.mp4,test\nother.mp4,val\n"
    assert remarks(manifest, rows) == []
    (said,) = remarks(manifest, rows, same_content=True)
    assert "copy.mp4 (test)" in said
    assert "other" not in said


def test_names_of_one_split_and_files_that_are_not_there_are_not(manifest: Path) -> None:
    assert remarks(manifest, "a.mp4,train\nsoft.mp4,train\ngone.mp4,test\n") == []
    assert remarks(manifest, "a.mp4,\nsoft.mp4,test\n") == []
