"""Exports hold what the tables hold, as the library that each is for reads it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.balance.splits import SplitSizes
from mama_augment.cli import app
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.export.config import ExportConfig
from mama_augment.people.export.formats.csv_file import safe
from mama_augment.people.export.run import export
from mama_augment.runtime import RuntimeConfig
from tests.augment.numbered import read_number, write_numbered
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, jpeg, write_captions, write_clips

TEXTS = {
    "c00": "a red ball rolls",
    "c01": '=HYPERLINK("http://x";"y")',
    "c02": '- one, two; "three"\nfour',
    "c03": "日本語 und Ümlaute 🐦",
    "c04": "@home  +1",
}


@pytest.fixture
def directories(tmp_path: Path) -> tuple[str, str]:
    rows = [
        clip(
            f"c{i:02d}",
            "given",
            video=f"/videos/v {i}.mp4",
            split="test" if i == 9 else None,
            start_seconds=1.5 * i,
            end_seconds=1.5 * i + 1,
            width_px=32,
            height_px=24,
            fps=25.0,
            topic=f"topic {i}",
        )
        for i in range(10)
    ]
    clips = write_clips(tmp_path / "clips", rows, 4, [pa.field("topic", pa.string())])
    captions = []
    for i in range(10):
        text = TEXTS.get(f"c{i:02d}", f"text of {i}")
        captions.append(caption(f"c{i:02d}", 0, text, video_uri=f"/videos/v {i}.mp4"))
        captions.append(caption(f"c{i:02d}", 1, None if i % 3 else f"second of {i}"))
    return clips, write_captions(tmp_path / "captions", captions)


@pytest.fixture
def shards(directories: tuple[str, str], tmp_path: Path) -> str:
    (tmp_path / "words.txt").write_text("text\nred\n")
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "words.txt")),
        balance=BalanceConfig(cap=float("inf")),
        sizes=SplitSizes(meta=0, val=0),
    )
    clips, captions = directories
    run_balance(clips, [captions], str(tmp_path / "shards"), step, RuntimeConfig())
    return str(tmp_path / "shards")


def rows_of(directory: str) -> list[dict[str, Any]]:
    return [row for table in StepDir.open(directory).tables() for row in table.to_pylist()]


def ok_texts(captions: str) -> list[tuple[str, str]]:
    return [(r["clip_id"], r["text"]) for r in rows_of(captions) if r["status"] == "ok"]


def run(directories: tuple[str, str], out: Path, **settings: Any) -> Any:
    clips, captions = directories
    return export(captions, str(out), ExportConfig(clips=(clips,), **settings))


def test_jsonl_has_every_text_with_its_video_and_span(
    directories: tuple[str, str], tmp_path: Path
) -> None:
    done = run(directories, tmp_path / "c.jsonl", columns=("topic",))
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").open(encoding="utf-8")]
    assert [(r["clip_id"], r["text"]) for r in rows] == ok_texts(directories[1])
    for row in rows:
        i = int(row["clip_id"][1:])
        assert (row["video"], row["start_seconds"]) == (f"/videos/v {i}.mp4", 1.5 * i)
        assert (row["fps"], row["source"], row["topic"]) == (25.0, "generated:tiny", f"topic {i}")
    assert (done.num_in, done.num_written, done.left_out) == (20, 14, {"other_status": 6})
    assert done.exit_code == 0


def test_csv_opens_in_pandas_and_holds_no_formula(
    directories: tuple[str, str], tmp_path: Path
) -> None:
    run(directories, tmp_path / "c.csv", format="csv")
    table = pandas.read_csv(tmp_path / "c.csv")
    wanted = ok_texts(directories[1])
    assert list(table["clip_id"]) == [clip_id for clip_id, _ in wanted]
    assert list(table["text"]) == [safe(text) for _, text in wanted]
    assert sum(text.startswith("'") for text in table["text"]) == 3
    assert list(table["start_seconds"]) == [1.5 * int(i[1:]) for i, _ in wanted]
    with (tmp_path / "c.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert cells
    for cell in cells:
        assert cell[:1] not in ("=", "+", "@", "\t", "\r"), cell
        assert not cell.startswith("-"), cell


@pytest.mark.parametrize(
    "text", ["=1+1", " =1+1", "+49 30", "-2", "@a", "\t=1", "\r=1", "\n=1", "＝1", "\u00a0=1"]
)
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert safe(f"a{text}") == f"a{text}"


def test_parquet_opens_in_pandas_with_types(directories: tuple[str, str], tmp_path: Path) -> None:
    run(directories, tmp_path / "c.parquet", format="parquet", status="all")
    table = pandas.read_parquet(tmp_path / "c.parquet")
    written = rows_of(directories[1])
    assert list(table["caption_index"]) == [r["caption_index"] for r in written]
    assert list(table["status"]) == [r["status"] for r in written]
    assert list(table["text"].dropna()) == [r["text"] for r in written if r["text"]]
    assert list(table["reason"].dropna().unique()) == ["empty"]
    schema = pq.read_schema(tmp_path / "c.parquet")
    assert schema.field("start_seconds").type == pa.float64()
    assert schema.field("split").type == pa.string()


@pytest.mark.parametrize("tar_mb", [256, 1])
def test_webdataset_reads_frames_and_texts_of_each_clip(
    directories: tuple[str, str], tmp_path: Path, tar_mb: int
) -> None:
    import webdataset

    done = run(directories, tmp_path / "wds", format="webdataset", tar_mb=tar_mb)
    tars = sorted(str(path) for path in (tmp_path / "wds").glob("*.tar"))
    assert done.notes == {"tars": len(tars)}
    samples = list(
        webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode("rgb8")
    )
    by_clip: dict[str, list[str]] = {}
    for clip_id, text in ok_texts(directories[1]):
        by_clip.setdefault(clip_id, []).append(text)
    frames = {row["clip_id"]: row["frames"] for row in rows_of(directories[0])}
    assert [s["json"]["clip_id"] for s in samples] == list(by_clip)
    for sample in samples:
        clip_id = sample["json"]["clip_id"]
        assert [t["text"] for t in sample["json"]["texts"]] == by_clip[clip_id]
        assert sample["txt"] == by_clip[clip_id][0]
        for i, data in enumerate(frames[clip_id]):
            want = Image.open(io.BytesIO(data)).convert("RGB").tobytes()
            assert sample[f"{i:02d}.jpg"].tobytes() == want


def test_tars_end_where_they_are_full(tmp_path: Path) -> None:
    big = bytes(300_000)
    rows = [{**clip(f"c{i}"), "frames": [jpeg(i) + big] * 2} for i in range(6)]
    clips = write_clips(tmp_path / "clips", rows)
    captions = write_captions(tmp_path / "cap", [caption(f"c{i}", 0, "a") for i in range(6)])
    settings = ExportConfig(format="webdataset", clips=(clips,), tar_mb=1)
    done = export(captions, str(tmp_path / "wds"), settings)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "wds").glob("*.tar"))]
    assert done.notes == {"tars": 6} == {"tars": len(sizes)}
    assert all(600_000 < size < 2**20 for size in sizes)


def test_the_same_captions_give_the_same_tar(directories: tuple[str, str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(directories, tmp_path / name, format="webdataset")
    assert (tmp_path / "a/000000.tar").read_bytes() == (tmp_path / "b/000000.tar").read_bytes()


def test_datasets_opens_the_hf_folder_with_pictures(
    directories: tuple[str, str], tmp_path: Path
) -> None:
    import datasets

    run(directories, tmp_path / "hf", format="hf")
    opened = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    frames = {row["clip_id"]: row["frames"] for row in rows_of(directories[0])}
    assert {name: len(part) for name, part in opened.items()} == {"train": 9, "test": 1}
    found = []
    for part in opened.values():
        for row in part:
            assert [image.size for image in row["frames"]] == [(32, 24), (32, 24)]
            first = Image.open(io.BytesIO(frames[row["clip_id"]][0]))
            assert row["frames"][0].tobytes() == first.tobytes()
            assert row["text"] == row["captions"][0]["text"]
            found += [(row["clip_id"], caption["text"]) for caption in row["captions"]]
    assert found == ok_texts(directories[1])


def test_shards_export_with_splits_and_concepts(
    shards: str, directories: tuple[str, str], tmp_path: Path
) -> None:
    import datasets

    export(shards, str(tmp_path / "s.jsonl"), ExportConfig())
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").open(encoding="utf-8")]
    wanted = [
        (row["split"], row["clip_id"], caption["text"])
        for row in rows_of(shards)
        for caption in row["captions"]
    ]
    assert [(r["split"], r["clip_id"], r["text"]) for r in rows] == wanted
    assert {tuple(r["concepts"]) for r in rows} == {(), ("red",), ("text",)}
    assert all("video" not in row for row in rows)
    export(shards, str(tmp_path / "v.jsonl"), ExportConfig(clips=(directories[0],)))
    with_video = [json.loads(line) for line in (tmp_path / "v.jsonl").open(encoding="utf-8")]
    assert [r["video"] for r in with_video] == [
        f"/videos/v {int(r['clip_id'][1:])}.mp4" for r in rows
    ]
    export(shards, str(tmp_path / "hf"), ExportConfig(format="hf"))
    opened = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(row["frames"]) for part in opened.values() for row in part) == 2 * len(
        {clip_id for _, clip_id, _ in wanted}
    )


def test_sharegpt_names_its_pictures(directories: tuple[str, str], tmp_path: Path) -> None:
    run(directories, tmp_path / "s", format="sharegpt", question="What is seen?")
    content = json.loads((tmp_path / "s/data.json").read_text())
    assert [c["conversations"][1]["value"] for c in content] == [
        text for _, text in ok_texts(directories[1])
    ]
    for talk in content:
        assert talk["conversations"][0]["value"] == "<image><image>\nWhat is seen?"
        assert [Image.open(tmp_path / "s" / name).size for name in talk["images"]] == [(32, 24)] * 2
    info = json.loads((tmp_path / "s/dataset_info.json").read_text())
    assert info["clips"]["file_name"] == "data.json"


def test_a_cut_clip_shows_its_own_frames(tmp_path: Path) -> None:
    import webdataset

    video = write_numbered(tmp_path / "v.mp4", 60, options={"g": "12", "bf": "2"})
    spans = {"a": (None, None), "b": (0.6, 1.4), "c": (1.48, None)}
    rows = [
        clip(i, video=str(video), start_seconds=start, end_seconds=end)
        for i, (start, end) in spans.items()
    ]
    rows.append(clip("gone", video=str(tmp_path / "gone.mp4")))
    clips = write_clips(tmp_path / "clips", rows)
    captions = write_captions(tmp_path / "cap", [caption(i, 0, i) for i in (*spans, "gone")])
    settings = ExportConfig(format="webdataset", media="clip", clips=(clips,))
    done = export(captions, str(tmp_path / "wds"), settings)
    assert (done.num_written, done.left_out, done.exit_code) == (3, {"missing": 1}, 1)
    assert "gone" in done.problems[0]
    reader = webdataset.WebDataset(str(tmp_path / "wds/000000.tar"), shardshuffle=False)
    for sample in reader:
        content = json.loads(sample["json"])
        start, end = spans[content["clip_id"]]
        first = math.ceil((start or 0) * 25 - 1e-9)
        last = 60 if end is None else math.ceil(end * 25 - 1e-9)
        numbers = decoded_numbers(sample["mp4"])
        assert numbers[: last - first] == list(range(first, last)), content["clip_id"]
        assert len(numbers) <= last - first + 2, "only what is needed to decode may follow"
        assert content["media_seconds"] == pytest.approx([first / 25, numbers[-1] / 25])


def decoded_numbers(data: bytes) -> list[int]:
    import av

    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    numbers = []
    for image in frames:
        sink = io.BytesIO()
        image.save(sink, "PNG")
        numbers.append(read_number(sink.getvalue()))
    return numbers


def test_what_is_there_is_not_replaced_unasked(
    directories: tuple[str, str], tmp_path: Path
) -> None:
    clips, captions = directories
    (tmp_path / "c.jsonl").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        run(directories, tmp_path / "c.jsonl")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    settings = ExportConfig(format="webdataset", clips=(clips,))
    with pytest.raises(InputError, match=r"notes\.txt"):
        export(captions, str(tmp_path / "mine"), settings, overwrite=True)
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"
    run(directories, tmp_path / "wds", format="webdataset")
    with pytest.raises(InputError, match="holds an export; give another, or --overwrite"):
        run(directories, tmp_path / "wds", format="webdataset")
    export(captions, str(tmp_path / "wds"), settings, overwrite=True)
    assert json.loads((tmp_path / "wds/export.json").read_text())["complete"]


@pytest.mark.parametrize("format", ["webdataset", "hf", "jsonl", "sharegpt"])
def test_an_export_that_fails_leaves_no_half_file(
    format: str, directories: tuple[str, str], tmp_path: Path
) -> None:
    def fail(number: int) -> None:
        if next(done) == 5:
            raise OSError("the disk is full")

    done = itertools.count()
    settings = ExportConfig(format=format, clips=(directories[0],))
    with pytest.raises(OSError, match="full"):
        export(directories[1], str(tmp_path / "out" / "x"), settings, on_texts=fail)
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    marks = [p for p in left if p.suffix != ".jpg"]
    assert {p.name for p in marks} <= {"export.json"}
    assert all(not json.loads(p.read_text())["complete"] for p in marks)


def test_the_clips_are_found_through_the_captions_manifest(tmp_path: Path) -> None:
    video = write_numbered(tmp_path / "v.mp4", 30)
    clips, captions = str(tmp_path / "clips"), str(tmp_path / "captions")
    words = ["keyframes", str(video), "--out", clips]
    assert CliRunner().invoke(app, words).exit_code == 0
    words = ["caption", clips, "--out", captions, "--model", "llava-shapes", "--min-words", "1"]
    CliRunner().invoke(app, words)
    out = str(tmp_path / "x.jsonl")
    result = CliRunner().invoke(app, ("export", captions, "--out", out, "--status", "all"))
    assert result.exit_code == 0, result.output
    (row,) = map(json.loads, Path(out).read_text().splitlines())
    assert row["video"] == str(video)
    assert (row["width_px"], row["height_px"], row["fps"]) == (160, 96, pytest.approx(25))
    Path(clips).rename(tmp_path / "moved")
    result = CliRunner().invoke(app, ("export", captions, "--out", str(tmp_path / "y.jsonl")))
    assert isinstance(result.exception, InputError)
    assert "Say where they lie now: --clips DIR" in str(result.exception)
    words = ["export", captions, "--out", str(tmp_path / "y.jsonl"), "--clips"]
    assert CliRunner().invoke(app, [*words, str(tmp_path / "moved")]).exit_code == 0


def test_a_push_needs_a_token_before_anything_is_written(
    directories: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    clips, captions = directories
    words = ("export", captions, "--clips", clips, "--format", "hf", "--out", str(tmp_path / "h"))
    result = CliRunner().invoke(app, (*words, "--push", "me/clips"))
    assert isinstance(result.exception, InputError)
    assert "no token" in str(result.exception)
    assert not (tmp_path / "h").exists()


def test_a_push_uploads_the_folder_without_our_mark(
    directories: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[tuple[str, Any]] = []

    class Hub:
        def create_repo(self, name: str, **options: Any) -> str:
            asked.append((name, options["private"]))
            return f"https://hub/datasets/{name}"

        def upload_folder(self, **options: Any) -> None:
            asked.append((options["folder_path"], options["ignore_patterns"]))

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "x")
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    clips, captions = directories
    out = str(tmp_path / "h")
    words = ("export", captions, "--clips", clips, "--format", "hf", "--out", out, "--json")
    result = CliRunner().invoke(app, (*words, "--push", "me/clips"))
    assert result.exit_code == 0, result.output
    assert asked == [("me/clips", True), (out, ["export.json"])]
    assert json.loads(result.stdout)["pushed"] == "https://hub/datasets/me/clips"
