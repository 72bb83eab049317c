"""What `keyframes` says of its input before it decodes, and of its clips after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mama_augment.cli import app
from tests.augment.numbered import write_numbered


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["keyframes", *map(str, arguments), "--num-frames", "3"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_numbered(folder / "a.mp4", 20)
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "a.txt").write_text("numbers")
    (folder / "notes.pdf").write_bytes(b"x")
    return folder


def test_texts_what_is_left_out_and_flags_are_said(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "input: 2 clips, 1 text; 1 clip without one" in result.output
    assert "left out of the input: 1 .pdf" in result.output
    assert "flags of clips: 1 near_identical" in result.output
    again = run(folder, "--out", tmp_path / "out", "--json")
    found = json.loads(again.stdout.splitlines()[-1])
    assert found["input"]["texts"] == 1
    assert found["input"]["left_out"] == {".pdf": 1}
    assert found["flags"] == {"near_identical": 1}


def test_texts_that_are_not_taken_are_named_with_the_option_that_takes_them(
    folder: Path, tmp_path: Path
) -> None:
    manifest = folder / "m.csv"
    manifest.write_text("path,caption\na.mp4,hello\n")
    option = ["--video-column", "path"]
    result = run(manifest, "--out", tmp_path / "out", *option)
    assert result.exit_code == 0, result.output
    assert "input: 1 clip, 0 texts" in result.output
    assert "--text-column caption takes it" in result.output
    taken = run(manifest, "--out", tmp_path / "taken", *option, "--text-column", "caption")
    assert "input: 1 clip, 1 text\n" in taken.output
