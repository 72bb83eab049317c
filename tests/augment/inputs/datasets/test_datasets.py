"""Published annotations of ten data sets, as a manifest that `keyframes` takes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.store.step_dir import StepDir
from mama_augment.inputs.datasets import DATASETS
from mama_augment.inputs.datasets.convert import convert
from mama_augment.inputs.datasets.files import Annotations
from mama_augment.inputs.find import find_clips
from tests.augment.numbered import write_numbered


@pytest.fixture
def published(shared_dir: Path) -> Path:
    return shared_dir / "datasets"


def rows_of(published: Path, name: str, **options: Any) -> list[dict[str, Any]]:
    return convert(name, str(published / name), **options).manifest.to_pylist()


def questions_of(published: Path, name: str, **options: Any) -> list[dict[str, Any]]:
    return [q for row in rows_of(published, name, **options) for q in row["questions"]]


@pytest.mark.parametrize("name", DATASETS)
def test_every_sample_becomes_a_manifest_that_is_read(
    published: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "manifest.parquet"
    result = CliRunner().invoke(
        app, ["dataset", name, str(published / name), "--out", str(out), "--json"]
    )
    assert result.exit_code == 0, result.output
    manifest = pq.read_table(out)
    clips = find_clips(str(out))
    assert set(clips["clip_id"].to_pylist()) == set(manifest["clip_id"].to_pylist())
    assert None not in manifest["provenance"].to_pylist()
    if "questions" in manifest.column_names:
        asked = [q for some in clips["questions"].to_pylist() for q in some]
        there = [q for some in manifest["questions"].to_pylist() for q in some]
        assert sorted(map(str, asked)) == sorted(map(str, there))
    else:
        texts = [t["text"] for some in clips["texts"].to_pylist() for t in some]
        assert sorted(texts) == sorted(manifest["text"].to_pylist())
        assert all(t["trusted"] for some in clips["texts"].to_pylist() for t in some)


def test_msrvtt_1k_a_trains_on_videos_that_its_data_file_calls_test(published: Path) -> None:
    rows = rows_of(published, "msrvtt")
    split_of = {row["clip_id"]: row["split"] for row in rows}
    assert split_of["video7010"] is None
    assert split_of["video9771"] == split_of["video7020"] == "test"
    assert "a woman laughs, then waves" in [row["text"] for row in rows]
    full = {row["clip_id"]: row["split"] for row in rows_of(published, "msrvtt", part="full")}
    assert full["video7010"] == "test"


def test_didemo_joins_in_file_order(published: Path) -> None:
    texts = {row["clip_id"]: row["text"] for row in rows_of(published, "didemo")}
    first = "11111111@N00_2222222222_aaaaaaaaaa_sample.mov"
    assert texts[first] == "the camera pans to a fountain a child jumps off the step"


def test_activitynet_has_no_double_blanks_and_keeps_odd_ids(published: Path) -> None:
    rows = {row["clip_id"]: row for row in rows_of(published, "activitynet")}
    text = rows["v_AAAAAAAAAAA"]["text"]
    assert text.startswith("A person ties a rope to a post. The rope is pulled tight.")
    assert set(rows) == {"v_AAAAAAAAAAA", "v_-BBBBBBBBBB", "v_C_CCCCCCCCC"}


def test_lsmdc_has_commas_and_dots(published: Path, tmp_path: Path) -> None:
    clip = "9001_Sample_Movie_00.00.55.000-00.00.58.400"
    folder = tmp_path / "videos" / "9001_Sample_Movie"
    folder.mkdir(parents=True)
    write_numbered(folder / f"{clip}.mp4", 5)
    found = convert("lsmdc", str(published / "lsmdc"), str(tmp_path / "videos"))
    assert found.manifest["text"].to_pylist() == ["A cat looks up at SOMEONE, then runs."]
    assert found.manifest["video"].to_pylist() == [str(folder / f"{clip}.mp4")]
    assert len(found.missing) == 2


def test_msvd_every_sentence_of_the_test_video_is_a_query(published: Path) -> None:
    rows = [row for row in rows_of(published, "msvd") if row["split"] == "test"]
    assert [row["text"] for row in rows] == ["two girls skate", "girls are skating", "they skate"]


def test_msvd_qa_finds_videos_by_number_or_by_the_mapping(published: Path, tmp_path: Path) -> None:
    write_numbered(tmp_path / "vid1.avi", 5, codec="mpeg4")
    write_numbered(tmp_path / "c_ccccccccc_5_12.mp4", 5)
    found = convert("msvd-qa", str(published / "msvd-qa"), str(tmp_path))
    videos = {Path(row["video"]).name for row in found.manifest.to_pylist()}
    assert videos == {"vid1.avi", "c_ccccccccc_5_12.mp4"}
    types = {q["question"]: q["type"] for q in questions_of(published, "msvd-qa")}
    assert types["how many girls are skating?"] == "how"


def test_msrvtt_qa_has_the_full_split(published: Path) -> None:
    split_of = {row["clip_id"]: row["split"] for row in rows_of(published, "msrvtt-qa")}
    assert split_of == {
        "video0": None,
        "video17": None,
        "video6513": "val",
        "video6514": "val",
        "video7009": "val",
        "video7010": "test",
        "video9999": "test",
    }


def test_next_qa_dialects_give_the_same_answers(published: Path, tmp_path: Path) -> None:
    official = questions_of(published, "next-qa")
    assert [q["answer_index"] for q in official] == [2, 0, 4]
    assert [q["type"] for q in official] == ["CW", "TN", "DC"]
    covgt = convert("next-qa", str(published / "next-qa" / "covgt"))
    others = [q for row in covgt.manifest.to_pylist() for q in row["questions"]]
    assert others == official
    for split in ("train", "val", "test"):  # VGT's: video_id, and numbers
        lines = (published / "next-qa" / f"{split}.csv").read_text().split("\n")
        (tmp_path / f"{split}.csv").write_text(
            "\n".join([lines[0].replace("video,", "video_id,"), *lines[1:]])
        )
    vgt = convert("next-qa", str(tmp_path))
    assert [q for row in vgt.manifest.to_pylist() for q in row["questions"]] == official


def test_next_qa_options_may_be_numbers(published: Path, tmp_path: Path) -> None:
    header = "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
    rows = ["7,1,1,1,how many,3,1,DC,5,4,3,2,1", "7,1,1,1,how many,red,2,DC,red,b,c,d,e"]
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("\n".join([header, *rows]))
    found = convert("next-qa", str(tmp_path)).manifest.to_pylist()
    assert [q["answer_index"] for q in found[0]["questions"]] == [2, 0]


def test_next_qa_videos_lie_where_the_map_says(published: Path, tmp_path: Path) -> None:
    (tmp_path / "0101").mkdir()
    write_numbered(tmp_path / "0101" / "1000000001.mp4", 5)
    found = convert("next-qa", str(published / "next-qa"), str(tmp_path))
    assert found.manifest["clip_id"].to_pylist() == ["1000000001"]
    assert found.missing == ["1200/1000000002.mp4"]


def test_tgif_quotes_mean_nothing(published: Path) -> None:
    asked = questions_of(published, "tgif-qa", part="transition")
    assert asked[0]["options"][4] == 'eat "hay"'
    assert (asked[0]["question_id"], asked[0]["answer_index"]) == ("TRANS1", 0)
    types = [q["type"] for q in questions_of(published, "tgif-qa", part="frameqa")]
    assert types == ["object", "number", "color"]


def test_causal_vidqa_joins_answer_and_reason(published: Path) -> None:
    rows = rows_of(published, "causal-vidqa")
    of_first = next(r for r in rows if r["clip_id"].startswith("AAAA"))["questions"]
    assert [q["type"] for q in of_first] == ["d", "e", "pa", "pr", "ca", "cr"]
    groups = [q["question_group"] for q in of_first]
    assert groups[:2] == [None, None]
    assert groups[2] == groups[3] != groups[4] == groups[5]
    assert [q["answer_index"] for q in of_first] == [0, 2, 0, 0, 0, 1]
    assert of_first[3]["question"] == of_first[2]["question"]


def test_questions_reach_the_clips_table(published: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for number in (0, 17, 6513, 7010):
        write_numbered(tmp_path / "videos" / f"video{number}.mp4", 30)
    manifest, clips = str(tmp_path / "m.parquet"), str(tmp_path / "clips")
    annotations = str(published / "msrvtt-qa")
    videos = str(tmp_path / "videos")
    runner = CliRunner()
    made = runner.invoke(app, ["dataset", "msrvtt-qa", annotations, videos, "--out", manifest])
    assert (made.exit_code, (tmp_path / "m.missing.txt").read_text().split()) == (
        0,
        ["video6514.mp4", "video7009.mp4", "video9999.mp4"],
    )
    assert runner.invoke(app, ["keyframes", manifest, "--out", clips]).exit_code == 0
    table = pa.concat_tables(StepDir.open(clips).tables())
    by_clip = dict(zip(table["clip_id"].to_pylist(), table["questions"].to_pylist(), strict=True))
    assert [q["answer"] for q in by_clip["video0"]] == ["pear", "panda"]
    assert by_clip["video7010"][0]["question_id"] == "msrvtt-qa-test-0"


def test_a_video_of_two_splits_is_never_trained_on(published: Path) -> None:
    found = convert("msvd", str(published / "msvd"))
    splits = {row["clip_id"]: row["split"] for row in found.manifest.to_pylist()}
    assert splits == {
        "aaaaaaaaaaa_0_10": None,
        "-bbbbbbbbbb_33_44": "val",
        "c_ccccccccc_5_12": "test",
    }
    assert any("stand in several splits" in said for said in found.differences)


def test_sizes_that_differ_are_said(published: Path) -> None:
    said = convert("msrvtt", str(published / "msrvtt")).differences
    assert "test has 3 videos; 1,000 were published" in said
    assert any("video1 has no captions" in sentence for sentence in said)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("touch /tmp/never-made",)


def test_a_pickle_cannot_run_anything(tmp_path: Path) -> None:
    (tmp_path / "raw-captions.pkl").write_bytes(pickle.dumps({"a": Evil()}))
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}_list.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"not a pickle of plain data .*posix.system"):
        convert("msvd", str(tmp_path))
    assert not Path("/tmp/never-made").exists()


def test_python_2_pickles_are_read(tmp_path: Path) -> None:
    # {'a': [['x', 'y']]} as Python 2 writes it, protocol 0, with byte strings
    (tmp_path / "p.pkl").write_bytes(b"(dp0\nS'a'\np1\n(lp2\n(lp3\nS'x'\np4\naS'y'\np5\naas.")
    assert Annotations(str(tmp_path), "msvd").plain_pickle("p.pkl") == {"a": [["x", "y"]]}


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("next-qa", "train.csv", "video,question\n1,a\n", "no column answer, qid, type"),
        ("lsmdc", "LSMDC16_annos_training.csv", "a\tb\n", "line 1: 2 fields between tabs"),
        ("activitynet", "train.json", "{", "not JSON"),
        ("msrvtt-qa", "train_qa.json", b"\xff\xfe", "not UTF-8"),
        ("msvd", "other.txt", "", "no raw-captions.pkl, which msvd has as published"),
    ],
)
def test_what_is_not_as_published_is_named(
    tmp_path: Path, name: str, file: str, content: str | bytes, message: str
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / file).write_bytes(data)
    with pytest.raises(InputError, match=message):
        convert(name, str(tmp_path))


def test_an_answer_beyond_the_options_names_its_row(published: Path, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        content = (published / "next-qa" / f"{split}.csv").read_text()
        (tmp_path / f"{split}.csv").write_text(content.replace("ball,2,6", "ball,dance!,6"))
    with pytest.raises(InputError, match=r"train.csv, row 1: the answer 'dance!' is not one of"):
        convert("next-qa", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["msrvt", "FOLDER"], "msrvtt"),
        (["msrvtt", "nowhere"], "is not a folder"),
        (["msrvtt", "FOLDER", "--part", "1k-c"], "1k-a"),
        (["msrvtt", "FOLDER", "--out", "m.csv"], ".parquet"),
        (["msrvtt", "FOLDER", "EMPTY"], "none of the"),
    ],
)
def test_mistakes_are_one_line(
    published: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    places = {"FOLDER": str(published / "msrvtt"), "EMPTY": str(tmp_path)}
    result = CliRunner().invoke(app, ["dataset", *(places.get(word, word) for word in words)])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
