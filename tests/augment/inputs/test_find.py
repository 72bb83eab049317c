"""VIDEOS may be a folder, a glob, a file or a manifest; every row of it is accounted for."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.inputs.clip_list import list_clips
from mama_augment.inputs.find import find_clips
from mama_augment.inputs.table.manifest import Rows


def csv(folder: Path, *lines: str) -> str:
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MOV", "notes.txt", "deep/er/c.webm", "deep/d.mp4/inside.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    return tmp_path


def test_a_folder_gives_everything_that_looks_like_a_video(tree: Path) -> None:
    clips = find_clips(str(tree))
    names = [Path(uri).relative_to(tree).as_posix() for uri in clips["video_uri"].to_pylist()]
    assert names == ["a.MOV", "b.mp4", "deep/d.mp4", "deep/er/c.webm", "self.mp4"]
    assert clips["texts"].to_pylist() == [[]] * 5


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.mp4", ["b.mp4", "self.mp4"]),
        ("deep/*/*.webm", ["deep/er/c.webm"]),
        ("**/*.webm", ["deep/er/c.webm"]),
        ("**/[ab].*", ["a.MOV", "b.mp4"]),
        ("notes.t?t", ["notes.txt"]),
    ],
)
def test_globs(tree: Path, pattern: str, names: list[str]) -> None:
    found = find_clips(f"{tree}/{pattern}")["video_uri"].to_pylist()
    assert [Path(uri).relative_to(tree).as_posix() for uri in found] == names


def test_ids_are_hashes_of_the_relative_path_so_that_folders_may_move(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ids = find_clips(str(tree))["clip_id"].to_pylist()
    assert ids[1] == hashlib.sha256(b"b.mp4||").hexdigest()[:16]
    moved = tmp_path_factory.mktemp("other") / "place"
    tree.rename(moved)
    assert find_clips(str(moved))["clip_id"].to_pylist() == ids
    assert find_clips(str(moved / "b.mp4"))["clip_id"].to_pylist() == [ids[1]]


ROWS: list[dict[str, Any]] = [
    {"video": "v.mp4", "text": "one", "trusted": True, "split": "test", "stars": 3, "tag": None},
    {"video": "w.mp4", "text": "other", "trusted": False, "split": None, "stars": None, "tag": "x"},
    {"video": "v.mp4", "text": "two", "trusted": False, "split": "test", "stars": 3, "tag": None},
]


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_manifests_of_every_kind_say_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"manifest.{kind}"
    if kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        fields = [["" if v is None else str(v) for v in row.values()] for row in ROWS]
        path.write_text("\n".join(mark.join(line) for line in [list(ROWS[0]), *fields]))
    elif kind == "json":
        path.write_text(json.dumps(ROWS, indent=2))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    clips = find_clips(str(path))
    assert clips["video_uri"].to_pylist() == [str(tmp_path / "v.mp4"), str(tmp_path / "w.mp4")]
    assert clips["texts"].to_pylist() == [
        [
            {"text": "one", "source": "human", "trusted": True},
            {"text": "two", "source": "human", "trusted": False},
        ],
        [{"text": "other", "source": "human", "trusted": False}],
    ]
    assert clips["split"].to_pylist() == ["test", None]
    # What csv and tsv hold are letters: nothing says that they are numbers.
    stars = ("3", pa.string()) if kind in ("csv", "tsv") else (3, pa.int64())
    assert clips["stars"].to_pylist() == [stars[0], None]
    assert clips["tag"].to_pylist() == [None, "x"]
    assert clips.schema.field("stars").type == stars[1]
    assert clips.schema.field("tag").type == pa.string()


def test_spans_of_one_video_are_clips_of_their_own(tmp_path: Path) -> None:
    clips = find_clips(
        csv(tmp_path, "video,start_seconds,end_seconds", "v.mp4,5,9.5", "v.mp4,,5", "v.mp4,5,9.5")
    )
    assert clips["start_seconds"].to_pylist() == [None, 5.0]
    assert clips["end_seconds"].to_pylist() == [5.0, 9.5]
    assert clips["clip_id"].to_pylist() == [
        hashlib.sha256(key).hexdigest()[:16] for key in (b"v.mp4||5.0", b"v.mp4|5.0|9.5")
    ]


def test_a_column_that_differs_between_texts_of_a_clip_becomes_a_list(tmp_path: Path) -> None:
    clips = find_clips(csv(tmp_path, "video,text,who", "v,a,7", "v,b,8", "w,c,9"))
    assert clips["who"].to_pylist() == [["7", "8"], ["9"]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name", "v.mp4"], "no column `video`; its columns are name"),
        (["video"], "has no rows"),
        (["video,start_seconds", "v,soon"], "row 1: start_seconds is 'soon'; seconds are needed"),
        (["video,start_seconds", "v,-1"], "row 1: start_seconds is -1.0; 0 or more"),
        (["video,start_seconds,end_seconds", "v,0,1", "v,3,2"], r"row 2: the span \[3.0, 2.0\)"),
        (["video,split", "v,dev"], "row 1: split is 'dev'; allowed: train, meta, val, test"),
        (["video,trusted", "v,1", "w,maybe"], "row 2: trusted is 'maybe'; allowed: true, false"),
        (["video,split", "v,train", "v,test"], "rows 1 and 2 are the same span of 'v', but"),
        (["video,clip_id", "v,a", "w,a"], "'a' names two different spans: row 1 .* and row 2"),
        (["video,frames", "v,1"], "column 'frames' is one that the clips table makes itself"),
        (["video,a", "v,1,2"], "cannot be read as a manifest"),
        (["video,text", ",hello"], "row 1: video is empty"),
    ],
)
def test_what_cannot_be_right_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_clips(csv(tmp_path, *lines))


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    for videos, message in (
        (str(tmp_path), "no file below .* has a video's suffix"),
        (f"{tmp_path}/*.mp4", "no file matches"),
        (f"{tmp_path}/gone.csv", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            find_clips(videos)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from([None, 0.0, 1.5]),
            st.one_of(st.none(), st.text("xyz", min_size=1, max_size=3)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_no_text_is_lost_or_moved(rows: list[tuple[str, float | None, str | None]]) -> None:
    table = pa.table(
        {
            "video": [row[0] for row in rows],
            "start_seconds": pa.array([row[1] for row in rows], pa.float64()),
            "text": pa.array([row[2] for row in rows], pa.string()),
        }
    )
    clips = list_clips(Rows.of(table), "rows", lambda video: (video, video)).to_pylist()
    found = {(c["video_uri"], c["start_seconds"]): [t["text"] for t in c["texts"]] for c in clips}
    assert len(found) == len(clips) == len({row[:2] for row in rows})
    for key, texts in found.items():
        assert texts == [row[2] for row in rows if row[:2] == key and row[2]]


def test_a_suffix_may_be_upper_case(tmp_path: Path) -> None:
    (tmp_path / "B.CSV").write_text("video,text\nv.mp4,a\n")
    assert find_clips(str(tmp_path / "B.CSV"))["texts"].to_pylist()[0][0]["text"] == "a"


def test_names_that_are_no_text_are_shown_and_stay_apart(tmp_path: Path) -> None:
    for name in (b"\xff.mp4", rb"\xff.mp4", "ä.mp4".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    names = {Path(uri).name for uri in find_clips(str(tmp_path))["video_uri"].to_pylist()}
    assert names == {"\\xff~.mp4", "\\xff.mp4", "ä.mp4"}
    with pytest.raises(InputError, match=r"VIDEOS is .*xff\.mp4': its name is not UTF-8"):
        find_clips(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
