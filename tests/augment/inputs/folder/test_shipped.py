"""Videos with texts beside them, in folders and in tar archives."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.inputs.config import InputConfig
from mama_augment.inputs.find import find_clips
from mama_augment.inputs.folder.sidecars import read_sidecar
from mama_augment.inputs.folder.tars import split_member
from mama_augment.inputs.table.notes import Notes, listed
from mama_augment.keyframes.config import KeyFramesStep
from mama_augment.keyframes.step import KeyFrames
from mama_augment.runtime import RuntimeConfig
from tests.augment.numbered import read_number, write_numbered

SRT = """\ufeff1
00:00:00,500 --> 00:00:01,000
<i>A dog</i> runs
{\\an8}in a park.

2
00:00:01,000 --> 00:01:02,250 X1:40 X2:600
Tom &amp; Jerry

3
00:00:05,000 --> 00:00:05,000
nothing takes no time
"""
VTT = """WEBVTT - a title

NOTE a remark
over two lines

STYLE
::cue { color: red }

intro
00:00.500 --> 00:01.000 align:start
<v Roger>Hello <00:00.700>there

00:00:01.000 --> 00:00:02.000
"""
Rows = list[tuple[Any, Any, list[str]]]


def rows_of(clips: pa.Table) -> Rows:
    return [
        (row["start_seconds"], row["end_seconds"], [text["text"] for text in row["texts"]])
        for row in clips.to_pylist()
    ]


def test_subtitles_are_texts_with_times() -> None:
    assert read_sidecar("a.srt", SRT.encode()).rows == [
        {
            "text": "A dog runs in a park.",
            "start_seconds": 0.5,
            "end_seconds": 1.0,
            "source": "subtitles",
        },
        {
            "text": "Tom & Jerry",
            "start_seconds": 1.0,
            "end_seconds": 62.25,
            "source": "subtitles",
        },
    ]
    (row,) = read_sidecar("a.VTT", VTT.encode("utf-16")).rows
    assert (row["text"], row["start_seconds"], row["end_seconds"]) == ("Hello there", 0.5, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "sub/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "b.txt").write_text(" a cat \n")
    (tmp_path / "c.json").write_text(json.dumps({"caption": "a cow", "url": "u", "split": "test"}))
    parts = [{"text": "one", "start_seconds": "0:01", "end_seconds": 2}, {"text": ["two", "II"]}]
    (tmp_path / "d.json").write_text(json.dumps(parts))
    (tmp_path / "e.txt").write_bytes(b"caf\xe9")
    (tmp_path / "notes.txt").write_text("about nothing")
    return tmp_path


def test_texts_beside_videos(folder: Path) -> None:
    notes = Notes()
    clips = find_clips(str(folder), notes=notes)
    assert rows_of(clips) == [
        (0.5, 1.0, ["A dog runs in a park."]),
        (1.0, 62.25, ["Tom & Jerry"]),
        (None, None, ["a cat"]),
        (None, None, ["a cow"]),
        (None, None, ["two", "II"]),
        (1.0, 2.0, ["one"]),
        (None, None, []),
        (None, None, []),
    ]
    assert clips["split"].to_pylist()[3] == "test"
    assert clips["texts"][0].as_py()[0]["source"] == "subtitles"
    assert listed(notes.left_out) == "1 .txt, 1 text beside a video that cannot be read"
    assert notes.remarks[0].startswith("not read: e.txt: 'utf-8' codec")
    assert notes.remarks[1] == "fields of .json beside videos that are not taken: url"


@pytest.mark.parametrize(
    ("choice", "texts"), [("whole", ["A dog runs in a park. Tom & Jerry"]), ("none", [])]
)
def test_subtitles_as_one_text_or_none(folder: Path, choice: str, texts: list[str]) -> None:
    clips = find_clips(str(folder), InputConfig(subtitles=choice))
    assert rows_of(clips)[0] == (None, None, texts)
    assert clips.num_rows == 7


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_a_tar_of_clips_is_a_folder_of_clips(tmp_path: Path) -> None:
    write_numbered(tmp_path / "v.mp4", 20)
    write_numbered(tmp_path / "w.mp4", 30)
    shards = tmp_path / "shards"
    shards.mkdir()
    first, second = (tmp_path / name for name in ("v.mp4", "w.mp4"))
    files = {
        "000.mp4": first.read_bytes(),
        "000.txt": b"twenty",
        "000.json": json.dumps({"caption": "20", "key": "000"}).encode(),
        "part/001.x.mp4": second.read_bytes(),
        "part/001.json": b"{broken",
        "002.jpg": b"no video",
        "002.txt": b"of no video",
        "._003.mp4": b"x",
    }
    write_tar(shards / "a.tar", files)
    (shards / "b.tar").write_bytes(b"not a tar at all" * 100)
    notes = Notes()
    clips = find_clips(str(shards), notes=notes)
    assert [str(Path(uri).relative_to(shards)) for uri in clips["video_uri"].to_pylist()] == [
        "a.tar/000.mp4",
        "a.tar/part/001.x.mp4",
    ]
    assert rows_of(clips) == [(None, None, ["twenty", "20"]), (None, None, [])]
    assert dict(notes.left_out) == {
        ".jpg": 1,
        ".txt": 1,
        "text beside a video that cannot be read": 1,
        "archive that cannot be read": 1,
    }
    assert find_clips(str(shards / "a.tar"))["clip_id"].equals(clips["clip_id"])
    assert find_clips(f"{shards}/*.tar")["clip_id"].equals(clips["clip_id"])
    outcome = run(
        KeyFrames(clips, KeyFramesStep()), StepOutput(str(tmp_path / "out")), RuntimeConfig()
    )
    assert outcome.ledger.num_ok == 2
    rows = pa.concat_tables(StepDir.open(str(tmp_path / "out")).tables()).to_pylist()
    assert [row["num_frames"] for row in rows] == [20, 30]
    for row in rows:
        assert [read_number(jpeg) for jpeg in row["frames"]] == row["frame_index"]


def test_a_member_that_is_gone_or_cut_off_is_rejected_alone(tmp_path: Path) -> None:
    write_numbered(tmp_path / "v.mp4", 20)
    content = (tmp_path / "v.mp4").read_bytes()
    write_tar(tmp_path / "a.tar", {"0.mp4": content, "1.mp4": content})
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: 512 + len(content) + 1500])
    (tmp_path / "m.csv").write_text("video\na.tar/0.mp4\na.tar/1.mp4\na.tar/2.mp4\n")
    step = KeyFrames(find_clips(str(tmp_path / "m.csv")), KeyFramesStep())
    outcome = run(step, StepOutput(str(tmp_path / "out")), RuntimeConfig(num_workers=1))
    assert (outcome.ledger.num_ok, outcome.ledger.num_in) == (1, 3)


def test_addresses_of_members() -> None:
    assert split_member("s3://b/x.tar/0.mp4") == ("s3://b/x.tar", "0.mp4")
    assert split_member("/d/x.tar/p/0.mp4") == ("/d/x.tar", "p/0.mp4")
    assert split_member("/d/x.tar") is None
    assert split_member("/d/x.tar.gz") is None
