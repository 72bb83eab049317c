"""Local files and folders that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import folder_and_name, output_file, whole, write_whole


def test_what_fails_halfway_leaves_what_was_there(tmp_path: Path) -> None:
    def fill(temporary: Path) -> None:
        temporary.mkdir()
        (temporary / "weights").write_text("half")
        raise OSError("disk full")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    write_whole(tmp_path / "new/report.html", "before")
    for name, make in (("report.html", write), ("folder", fill)):
        with pytest.raises(OSError, match="full"), whole(tmp_path / "new" / name) as temporary:
            make(temporary)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.html"]
    assert (tmp_path / "new/report.html").read_text() == "before"


def test_everything_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        assert (tmp_path / "made").exists() == (flushed[-1] == str(tmp_path))

    monkeypatch.setattr(os, "fsync", note)
    with whole(tmp_path / "made") as temporary:
        (temporary / "below").mkdir(parents=True)
        (temporary / "below/weights").write_text("all")
    names = [f"{temporary}/below", f"{temporary}/below/weights", str(temporary), str(tmp_path)]
    assert flushed == names
    assert (tmp_path / "made/below/weights").read_text() == "all"


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [
        ("file", ".", "file"),
        ("a/b/file", "a/b", "file"),
        ("/file", "/", "file"),
        ("a//file", "a", "file"),
        ("s3://bucket/a/file", "s3://bucket/a", "file"),
        ("a/b/", "a/b", ""),
    ],
)
def test_a_path_has_a_folder_and_a_name(path: str, folder: str, name: str) -> None:
    found, inside = folder_and_name(path)
    assert (found.uri, inside) == (folder, name)


def test_a_file_to_write_is_neither_a_directory_nor_below_a_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"")
    with pytest.raises(InputError, match=r"--sheet is .*, a directory"):
        output_file(str(tmp_path), "--sheet")
    with pytest.raises(InputError, match=r"--out is .*, a directory"):
        output_file(f"{tmp_path}/new/")
    with pytest.raises(InputError, match=r"'.*/file' is a file"):
        output_file(f"{tmp_path}/file/below")
