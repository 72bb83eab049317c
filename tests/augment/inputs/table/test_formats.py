"""What a table says comes through as it is, whatever file it is written to."""

from __future__ import annotations

import codecs
import csv
import datetime
import io
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import parquet_bytes
from mama_augment.inputs.find import find_clips
from mama_augment.inputs.table.config import ManifestConfig
from mama_augment.inputs.table.csv_file import read_csv
from mama_augment.inputs.table.json_file import read_json, read_jsonl
from mama_augment.inputs.table.manifest import Rows, read_manifest
from mama_augment.inputs.table.notes import Notes
from mama_augment.inputs.table.parquet_file import read_parquet
from mama_augment.inputs.table.source import Memory
from mama_augment.inputs.texts import count_texts

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
TEXTS = TEXT | st.sampled_from(["00123", "1e5", "12345678901234567890", "2020-01-02", "True", "NA"])
WORDS = TEXTS.filter(lambda text: text and "\ufeff" not in text)


def as_csv(rows: list[dict[str, Any]], mark: str) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=mark, quoting=csv.QUOTE_ALL)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return sink.getvalue()


NAMES = ("video", "text", "id")
ROW = st.tuples(WORDS, WORDS, WORDS).map(lambda texts: dict(zip(NAMES, texts, strict=True)))


@given(
    st.lists(ROW, min_size=1),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]),
)
def test_texts_come_through_every_format_and_encoding(
    rows: list[dict[str, str]], encoding: str
) -> None:
    try:
        as_csv(rows, ",").encode(encoding)
    except UnicodeEncodeError:
        return
    told = encoding if encoding in ("utf-16-le", "cp1252") else None

    def source(text: str) -> Memory:
        return Memory(text.encode(encoding), told)

    assert read_csv(source(as_csv(rows, ","))).to_pylist() == rows
    assert read_csv(source(as_csv(rows, "\t")), delimiter="\t").to_pylist() == rows
    objects = [json.dumps(row, ensure_ascii=False) for row in rows]
    assert read_jsonl(source("\n".join(objects))).to_pylist() == rows
    assert read_json(source(f"[{','.join(objects)}]")).to_pylist() == rows
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    assert read_parquet(pa.BufferReader(sink.getvalue())).to_pylist() == rows


NAN = math.nan
COLUMNS: dict[str, pa.Array] = {
    "string_view": pa.array(["x", None], pa.string_view()),
    "binary_view": pa.array([b"x", None], pa.binary_view()),
    "large": pa.array(["x", "y"], pa.large_string()),
    "dictionary": pa.array(["x", "y"]).dictionary_encode(),
    "views_inside": pa.array([{"a": "x"}, None], pa.struct([("a", pa.string_view())])),
    "texts_inside": pa.array([["x", "y"], []], pa.list_(pa.string())),
    "vectors": pa.array([[1.0, NAN], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "half": pa.array([1.5, NAN], pa.float16()),
    "nan": pa.array([NAN, 2.0]),
    "big": pa.array([12345678901234567890, 1], pa.uint64()),
    "decimal": pa.array([Decimal("1.10"), None], pa.decimal128(10, 2)),
    "date": pa.array([datetime.date(2020, 1, 2), None]),
    "moment": pa.array([0, 1], pa.timestamp("ns", tz="Europe/Berlin")),
    "length": pa.array([0, 1], pa.duration("ms")),
    "truth": pa.array([True, None]),
    "nothing": pa.nulls(2),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "uuid": pa.array([b"0123456789abcdef", None], pa.binary(16)).cast(pa.uuid()),
    "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("is_of_one_clip", [True, False])
def test_further_parquet_columns_reach_the_clips_table_as_they_are(
    tmp_path: Path, name: str, is_of_one_clip: bool
) -> None:
    column = COLUMNS[name]
    videos = ["v", "v"] if is_of_one_clip else ["v", "w"]
    rows = pa.table({"video": videos, "text": ["one", "two"], name: column})
    path = tmp_path / "m.parquet"
    pq.write_table(rows, path)
    clips = find_clips(str(path))
    # What is committed can be read back.
    back = pq.read_table(pa.BufferReader(parquet_bytes(clips)))
    wanted = column.to_pylist()
    wanted = [wanted] if is_of_one_clip and name != "nothing" else wanted
    if is_of_one_clip and name == "nothing":
        wanted = [None]
    assert repr(clips[name].to_pylist()) == repr(wanted)
    assert repr(back[name].to_pylist()) == repr(wanted)


def test_nan_that_rows_of_a_clip_share_stays_one_value(tmp_path: Path) -> None:
    rows = {"video": ["v", "v"], "score": [NAN, NAN], "vector": [[NAN, 1.0], [NAN, 1.0]]}
    pq.write_table(pa.table(rows), tmp_path / "m.parquet")
    clips = find_clips(str(tmp_path / "m.parquet"))
    assert clips.schema.field("score").type == pa.float64()
    assert math.isnan(clips["score"][0].as_py())
    assert repr(clips["vector"].to_pylist()) == "[[nan, 1.0]]"


def test_json_ids_of_twenty_digits_stay_whole(tmp_path: Path) -> None:
    ids = [12345678901234567890, 12345678901234567891, None, 7]
    lines = [json.dumps({"video": f"v{n}", "id": number}) for n, number in enumerate(ids)]
    for block_bytes in (10, 10_000):
        table = read_jsonl(Memory("\n".join(lines).encode()), block_bytes=block_bytes)
        assert table["id"].to_pylist() == ids


LIST_TYPES = [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_view(pa.string())]


@pytest.mark.parametrize("type_", [*LIST_TYPES, pa.list_(pa.string(), 2)])
def test_a_cell_may_hold_several_texts(tmp_path: Path, type_: pa.DataType) -> None:
    texts = pa.array([["a", "b"], ["c", None]], type_)
    rows = {"video": ["v", "w"], "text": texts, "source": ["web", None]}
    path = tmp_path / "m.parquet"
    try:
        pq.write_table(pa.table(rows), path)
    except pa.ArrowNotImplementedError:
        pytest.skip(f"this pyarrow writes no {type_}")
    clips = find_clips(str(path))
    assert [[(t["text"], t["source"]) for t in some] for some in clips["texts"].to_pylist()] == [
        [("a", "web"), ("b", "web")],
        [("c", "human")],
    ]
    assert count_texts(clips) == (3, 0)


def written(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("83.5", 83.5),
        ("1:23.5", 83.5),
        ("00:01:23,500", 83.5),
        ("1:00:00", 3600.0),
        ("0:00:00.1", 0.1),
        ("99:59", 5999.0),
        (" 7 ", 7.0),
        ("nan", None),
        ("NaN", None),
        ("None", None),
        ("", None),
    ],
)
def test_times_may_be_written_as_clocks_write_them(
    tmp_path: Path, text: str, seconds: float | None
) -> None:
    lines = f'video,start_seconds,end_seconds\nv,"{text}",6000\nw,1:40,\n'
    clips = find_clips(written(tmp_path, "m.csv", lines))
    assert clips["start_seconds"].to_pylist() == [seconds, 100.0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([83.5, NAN]),
        pa.array([83500, None], pa.duration("ms")),
        pa.array([datetime.time(0, 1, 23, 500_000), None]),
        pa.array(["1:23.5", None], pa.string_view()),
        pa.array(["83.5", "nan"]).dictionary_encode(),
        pa.array([Decimal("83.5"), None]),
    ],
)
def test_times_may_have_any_type_of_time(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"video": ["v", "w"], "end_seconds": column}), tmp_path / "m.parquet")
    clips = find_clips(str(tmp_path / "m.parquet"))
    assert clips["end_seconds"].to_pylist() == [83.5, None]


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "1:60x", "-0:05", "1::2"])
def test_what_is_not_a_time_is_named_with_its_row(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, "m.csv", f"video,start_seconds\nv,1\nw,{text}\n")
    with pytest.raises(InputError, match=f"row 2: start_seconds is '{text}'; seconds are needed"):
        find_clips(path)


def test_half_characters_cost_themselves_only(tmp_path: Path) -> None:
    content = '{"video": "v", "text": "dog \\ud83d!"}\n{"video": "w", "text": "\\ud83d\\ude00"}\n'
    notes = Notes()
    clips = find_clips(written(tmp_path, "m.jsonl", content), notes=notes)
    assert [t[0]["text"] for t in clips["texts"].to_pylist()] == ["dog \ufffd!", "\U0001f600"]
    assert notes.num_mended == 1
    damaged = pa.array([b"dog \xf0\x9f", b"ok"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"video": ["v", "w"], "text": damaged}), tmp_path / "m.parquet")
    notes = Notes()
    clips = find_clips(str(tmp_path / "m.parquet"), notes=notes)
    assert [t[0]["text"] for t in clips["texts"].to_pylist()] == ["dog \ufffd", "ok"]
    assert notes.num_mended == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"video": "v"}', "there is no the `]`|no .*`]` behind object 1"),
        (b'[{"video": "v"}] x', "something follows the `]`"),
        (b'[{"video": "v"}, 3]', "object 2 is not a JSON object"),
        (b'[{"video": "v"}, {"video": ]', "object 2: Expecting value"),
        (b'{"annotations": [{"video": "v"}]}', "no column `video`; its columns are annotations"),
    ],
)
def test_what_is_wrong_with_json_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_clips(written(tmp_path, "m.json", content))


def test_utf16_without_a_mark_is_recognised(tmp_path: Path) -> None:
    content = "video,text\na.mp4,hello\n"
    for order in ("le", "be"):
        path = written(tmp_path, "m.csv", content.encode(f"utf-16-{order}"))
        with pytest.raises(InputError, match=f"--encoding utf-16-{order} reads it"):
            find_clips(path)
        config = ManifestConfig(encoding=f"utf-16-{order}")
        assert read_manifest(Folder(str(tmp_path)), "m.csv", config).known["text"][0].as_py()
    assert codecs.BOM_UTF16_LE  # read without a word: test_texts_come_through_…


def test_semicolons_of_spreadsheets(tmp_path: Path) -> None:
    clips = find_clips(written(tmp_path, "m.csv", "video;text\na.mp4;one, two\n"))
    assert clips["texts"].to_pylist()[0][0]["text"] == "one, two"


def test_columns_that_look_like_texts_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", "video, text,caption,note,Start\na.mp4, x,y,z,3\n")
    notes = Notes()
    clips = find_clips(path, notes=notes)
    assert notes.remarks == [
        "the column ' text' looks like texts and is carried along unread; "
        "--text-column ' text' takes it",
        "the column caption looks like texts and is carried along unread; "
        "--text-column caption takes it",
        "the column Start is carried along unread; call it start_seconds if it is that",
    ]
    assert clips["texts"].to_pylist() == [[]]
    assert clips.column_names[6:] == [" text", "caption", "note", "Start"]


def test_other_columns_may_be_the_videos_and_the_texts(tmp_path: Path) -> None:
    written(tmp_path, "m.csv", "video,path,caption,text\n7,a.mp4,hello,old\n")
    config = ManifestConfig(video_column="path", text_column="caption")
    notes = Notes()
    rows = read_manifest(Folder(str(tmp_path)), "m.csv", config, notes)
    assert rows.known["video"].to_pylist() == ["a.mp4"]
    assert rows.known["text"].to_pylist() == ["hello"]
    assert {name: c.to_pylist() for name, c in rows.extra.items()} == {
        "video": ["7"],
        "text": ["old"],
    }
    assert "--text-column text takes it instead" in notes.remarks[0]
    with pytest.raises(InputError, match=r"no column 'capton' .*did you mean 'caption'"):
        read_manifest(Folder(str(tmp_path)), "m.csv", ManifestConfig(text_column="capton"))
    with pytest.raises(InputError, match="its columns are path; --video-column path takes"):
        find_clips(written(tmp_path, "n.csv", "path\na.mp4\n"))


def test_rows_hold_the_known_columns_apart() -> None:
    rows = Rows.of(pa.table({"video": ["v"], "stars": [1]}))
    assert (list(rows.known), list(rows.extra)) == (["video"], ["stars"])
    assert pc.sum(rows.extra["stars"]).as_py() == 1
