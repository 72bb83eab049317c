"""A person can look: contact sheet, table, reasons."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.report.captions import captions_of
from mama_augment.people.report.contact_sheet import (
    CELL_HEIGHT_PX,
    LABEL_PX,
    contact_sheet,
    pick_rows,
)
from tests.augment.numbered import write_numbered
from tests.augment.worlds import caption, write_captions


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(5):
        write_numbered(videos / f"{number}.mp4", 12, size=(96, 64))
    (videos / "broken.mp4").write_bytes(b"no video")
    arguments = ["keyframes", str(videos), "--out", str(tmp_path / "out"), "-q", "3"]
    assert CliRunner().invoke(app, [*arguments, "--clips-per-unit", "2"]).exit_code == 0
    return tmp_path / "out"


def test_inspect_writes_a_sheet_and_says_what_is_there(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["inspect", str(clips), "--num-clips", "2"])
    assert result.exit_code == 0, result.output
    assert "3 by peaks" in result.output
    assert "unreadable" in result.output
    with Image.open(clips / "contact_sheet.png") as sheet:
        assert sheet.height > 2 * CELL_HEIGHT_PX
    # The picture is no data file: the directory still adds up.
    assert audit(StepDir.open(str(clips)), deep=True).holds


def test_captions_stand_beside_the_frames(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ids = [row["clip_id"] for row in pick_rows(StepDir.open(str(clips)), 5)]
    captions = [caption(ids[0], 0, "a first caption"), caption(ids[0], 1, None, raw_text="I …")]
    said = write_captions(tmp_path / "captions", captions)
    assert captions_of([said], ids[:2]) == {
        ids[0]: ["a first caption", "rejected (empty): I …"],
        ids[1]: [],
    }
    sheet, plain = str(tmp_path / "with.png"), str(tmp_path / "without.png")
    words = ["inspect", str(clips), "--captions", said, "--sheet", sheet]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "a first" in result.output  # the rest may stand in the next line of its cell
    assert "(+1)" in result.output
    assert CliRunner().invoke(app, ["inspect", str(clips), "--sheet", plain]).exit_code == 0
    with Image.open(sheet) as big, Image.open(plain) as small:
        assert big.height == small.height + 2 * LABEL_PX, "two lines more"
    refused = CliRunner().invoke(app, ["inspect", str(clips), "--captions", str(clips)])
    assert isinstance(refused.exception, InputError)


def test_a_long_text_is_broken_into_lines(clips: Path) -> None:
    (row,) = pick_rows(StepDir.open(str(clips)), 1)
    long = {**row, "captions": ["word " * 60]}
    assert contact_sheet([long]).width == contact_sheet([row]).width
    assert contact_sheet([long]).height > contact_sheet([row]).height + 2 * LABEL_PX


def test_rows_are_spread_over_all_units(clips: Path) -> None:
    step_dir = StepDir.open(str(clips))
    names = [Path(row["video_uri"]).stem for row in pick_rows(step_dir, 3)]
    assert names == ["0", "2", "4"]
    assert len(pick_rows(step_dir, 100)) == 5


def test_the_sheet_shows_the_frames_in_order(clips: Path) -> None:
    (row,) = pick_rows(StepDir.open(str(clips)), 1)
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    row["frames"] = [_flat_jpeg(colour) for colour in colours]
    sheet = np.asarray(contact_sheet([row]), int)
    middle = sheet[40]
    places = [np.abs(middle - colour).sum(axis=1).argmin() for colour in colours]
    assert places == sorted(places)
    assert all(np.abs(middle[p] - c).sum() < 30 for p, c in zip(places, colours, strict=True))


def _flat_jpeg(colour: tuple[int, int, int]) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (96, 64), colour).save(sink, "JPEG", quality=95)
    return sink.getvalue()
