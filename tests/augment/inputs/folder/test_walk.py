"""A folder gives every video once; what it leaves out is counted by kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mama_augment.inputs.find import find_clips
from mama_augment.inputs.folder.suffixes import VIDEO_SUFFIXES, kind_of
from mama_augment.inputs.table.notes import Notes, listed


def made(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder: Path, notes: Notes | None = None, pattern: str = "") -> list[str]:
    clips = find_clips(f"{folder}{pattern}", notes=notes)
    return [Path(uri).relative_to(folder).as_posix() for uri in clips["video_uri"].to_pylist()]


def test_every_suffix_that_ffmpeg_decodes_is_a_video(tmp_path: Path) -> None:
    made(tmp_path, *(f"v{suffix}" for suffix in VIDEO_SUFFIXES), "w.MP4")
    assert len(found(tmp_path)) == len(VIDEO_SUFFIXES) + 1


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    made(tmp_path, "a.mp4", "b.txt", "c.TXT", "noname", ".hidden.mp4", "._a.mp4", ".git/x.mp4")
    made(tmp_path, "d/e.json")
    notes = Notes()
    assert found(tmp_path, notes) == ["a.mp4"]
    assert listed(notes.left_out) == "3 hidden, 2 .txt, 1 .json, 1 no suffix"


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    made(inside, "a/x.mp4")
    made(outside, "y.mp4", "deep/z.mp4")
    for name, target in {
        "link": outside,  # new
        "again": outside,  # the same once more, and first in order
        "a/loop": inside,
        "up": tmp_path,  # holds all of it
        "twin": inside / "a",
        "b": outside / "deep",  # is below another link, and looked at by its own name before
    }.items():
        (inside / name).symlink_to(target, target_is_directory=True)
    (outside / "back").symlink_to(inside, target_is_directory=True)
    (inside / "gone.mp4").symlink_to("nowhere")
    notes = Notes()
    names = found(inside, notes)
    assert names == ["a/x.mp4", "again/deep/z.mp4", "again/y.mp4", "gone.mp4"]
    assert sum(notes.left_out.values()) == 6
    assert {kind.split()[0] for kind in notes.left_out} == {"link"}


def test_a_glob_may_name_hidden_files(tmp_path: Path) -> None:
    made(tmp_path, "a.mp4", ".b.mp4", ".c/d.mp4")
    assert found(tmp_path, pattern="/*.mp4") == ["a.mp4"]
    assert found(tmp_path, pattern="/.*/*.mp4") == [".c/d.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    made(tmp_path, "a.mp4", "b/c.mp4")
    (tmp_path / "b").chmod(0)
    notes = Notes()
    assert found(tmp_path, notes) == ["a.mp4"]
    assert dict(notes.left_out) == {"folder that cannot be read": 1}
    (tmp_path / "b").chmod(0o700)


def test_kinds() -> None:
    names = ["a/b.tar.GZ", "a.b/c", ".x", "x.", "a.name is long, and no suffix"]
    assert [kind_of(name) for name in names] == [".gz", *["no suffix"] * 2, ".", "no suffix"]
