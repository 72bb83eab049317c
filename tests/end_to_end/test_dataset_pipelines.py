"""The pipelines of published datasets, on small data of their published form."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mama_augment.core.store.step_dir import StepDir
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.questions.make import make_questions_world
from mama_augment.shapes.world.config import WorldConfig
from mama_augment.shapes.world.make import make_world

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def run_pipeline(name: str, *arguments: object) -> None:
    command = [sys.executable, str(REPOSITORY / "pipelines" / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos video0.mp4 … of shapes."""
    out = tmp_path_factory.mktemp("world")
    make_world(out, WorldConfig(num_videos=24, meta=0, val=0, test=0))
    for number, path in enumerate(sorted((out / "videos").glob("*.mp4"))):
        path.rename(path.with_name(f"video{number}.mp4"))
    return out / "videos"


def rows_of(directory: Path, step: str, columns: list[str]) -> list[dict[str, object]]:
    tables = StepDir.open(str(directory), step=step).tables(columns)
    return [row for table in tables for row in table.to_pylist()]


def test_msrvtt(world: Path, tmp_path: Path) -> None:
    sentences = [
        {"sen_id": 2 * n + i, "video_id": f"video{n}", "caption": f"a shape moves, take {n} {i}"}
        for n in range(24)
        for i in range(2)
    ]
    (tmp_path / "MSRVTT_data.json").write_text(json.dumps({"sentences": sentences}))
    with (tmp_path / "MSRVTT_train.9k.csv").open("w") as file:
        file.write("\n".join(["video_id", *(f"video{n}" for n in range(20))]))
    with (tmp_path / "MSRVTT_JSFUSION_test.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "vid_key", "video_id", "sentence"])
        writer.writerows(
            [f"ret{n}", f"msr{n}", f"video{n}", f"the test, {n}"] for n in range(20, 24)
        )
    out = tmp_path / "msrvtt"
    options = ("--out", out, "--model", "llava-shapes", "--steps", 3)
    run_pipeline("msrvtt.py", world, tmp_path, *options)
    clips = rows_of(out / "clips", "keyframes", ["clip_id", "texts", "split"])
    assert {r["clip_id"]: len(r["texts"]) for r in clips} == {  # type: ignore[arg-type]
        f"video{n}": 2 if n < 20 else 1 for n in range(24)
    }
    shards = rows_of(out / "shards", "balance", ["clip_id", "split"])
    test = {r["clip_id"] for r in shards if r["split"] == "test"}
    assert test == {f"video{n}" for n in range(20, 24)}
    assert {r["split"] for r in shards} == {"train", "meta", "val", "test"}
    metrics = json.loads((out / "run/metrics.json").read_text())
    assert metrics["test"]["text_to_video"]["num_queries"] == 4


def test_howto100m_on_ray(world: Path, tmp_path: Path) -> None:
    narrations = {
        f"video{n}": {
            "start": [0.0, 0.3, 0.9],
            "end": [0.4, 0.9, 2.0],
            "text": ["now we", "slowly take the circle", "and push it along"],
        }
        for n in range(6)
    }
    (tmp_path / "raw_caption.json").write_text(json.dumps(narrations))
    meta = tmp_path / "meta.csv"
    meta.write_text("video,clip_id,text\nvideo20.mp4,m20,a circle\nvideo21.mp4,m21,a square\n")
    out = tmp_path / "work"
    run_pipeline(
        "howto100m_ray.py", tmp_path / "raw_caption.json", "--video-root", world, "--out", out,
        "--budget", 5, "--meta-manifest", meta, "--model", "llava-shapes", "--workers", 1,
        "--replicas", 1, "--ray-address", "local", "--clip-seconds", 0.8, "--num-concepts", 2,
    )  # fmt: skip
    clips = rows_of(out / "clips", "keyframes", ["clip_id", "start_seconds", "texts", "split"])
    spans = {r["clip_id"]: r["start_seconds"] for r in clips}
    assert spans["video0-00000"] == 0.0
    assert spans["video0-00001"] == pytest.approx(0.9)
    assert len(clips) == 6 * 2 + 2
    captions = rows_of(out / "captions", "caption", ["clip_id"])
    assert len(captions) == 5
    assert not {"m20", "m21"} & {r["clip_id"] for r in captions}
    shards = rows_of(out / "shards", "balance", ["clip_id", "split"])
    assert {r["clip_id"] for r in shards if r["split"] == "meta"} == {"m20", "m21"}


def test_video_qa(tmp_path: Path) -> None:
    """A made world in NExT-QA's form; a VGT reads its regions."""
    made = make_questions_world(
        tmp_path / "world", PlainConfig(num_train=18, num_meta=0, num_val=4, num_test=4)
    )
    names = ["video", "frame_count", "width", "height", "question", "answer", "qid", "type"]
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val", "test"):
        with (tmp_path / f"annotations/{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, *(f"a{i}" for i in range(5))])
            for row in pq.read_table(made.manifest).to_pylist():
                for number, q in enumerate(row["questions"] if row["split"] == split else ()):
                    if len(q["options"] or ()) == 5:  # as many as NExT-QA has
                        asked = [q["question"], q["answer_index"], number, "CW", *q["options"]]
                        writer.writerow([row["clip_id"], 48, 96, 128, *asked])
    out = tmp_path / "qa"
    options = ("--captioner", "none", "--backbone", "vgt-tiny", "--regions", "grid", "--steps", 2)
    places = ("next-qa", tmp_path / "annotations", tmp_path / "world/videos")
    run_pipeline("video_qa.py", *places, "--out", out, *options)
    shards = rows_of(out / "shards", "balance", ["clip_id", "split", "questions", "regions"])
    assert {r["split"] for r in shards} >= {"train", "val", "test"}
    test = [r for r in shards if r["split"] == "test"]
    assert {r["clip_id"] for r in test} == {f"test-{i:05d}" for i in range(4)}
    assert all(len(r["questions"]) == 2 and r["regions"] for r in test)  # type: ignore[arg-type]
    metrics = json.loads((out / "run/metrics.json").read_text())
    assert metrics["test"]["answers"]["num_questions"] == 8
    assert metrics["test"]["chance"]["answers"]["acc"] == pytest.approx(20)
