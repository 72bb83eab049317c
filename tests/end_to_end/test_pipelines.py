"""Whole pipelines, as processes, on real files: the generated world and real footage."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.shapes.world.config import WorldConfig
from mama_augment.shapes.world.make import make_world

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def run_pipeline(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "pipelines" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def texts_by_split(shards: Path) -> dict[str, dict[str, list[str]]]:
    """split -> clip_id -> kept captions."""
    found: dict[str, dict[str, list[str]]] = {}
    for table in StepDir.open(str(shards), step="balance").tables(["split", "clip_id", "captions"]):
        for row in table.to_pylist():
            texts = [caption["text"] for caption in row["captions"]]
            found.setdefault(row["split"], {})[row["clip_id"]] = texts
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    result = run_pipeline(
        "shapes_cpu.py", "--out", out, "--num-videos", 40, "--steps", 6, "--num-seeds", 1
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return out


def test_no_clip_vanishes_between_the_steps(demo: Path) -> None:
    with (demo / "world/manifest.csv").open() as file:
        manifest = {row["clip_id"]: row for row in csv.DictReader(file)}
    clips = StepDir.open(str(demo / "clips"), step="keyframes")
    captions = StepDir.open(str(demo / "captions"), step="caption")
    shards = StepDir.open(str(demo / "shards"), step="balance")
    for step_dir in (clips, captions, shards):
        ledger = audit(step_dir, deep=True)
        assert ledger.holds, ledger.problems
        assert ledger.num_pending == ledger.num_failed == 0
    clip_ids = [i for t in clips.tables(["clip_id"]) for i in t["clip_id"].to_pylist()]
    assert sorted(clip_ids) == sorted(manifest)
    captioned = [i for t in captions.tables(["clip_id"]) for i in t["clip_id"].to_pylist()]
    trained = sorted(clip_id for clip_id, row in manifest.items() if row["split"] == "train")
    assert sorted(captioned) == trained
    assert captions.manifest.left_out == {"split_reserved": len(manifest) - len(trained)}
    in_shards = {clip for split in texts_by_split(demo / "shards").values() for clip in split}
    left = {
        reject.id.split("|")[0]
        for record in shards.records().values()
        for reject in shards.read_rejects(record)
    }
    assert in_shards | left == set(manifest)


def test_the_test_split_does_not_leak_into_training(demo: Path) -> None:
    with (demo / "world/manifest.csv").open() as file:
        manifest = {row["clip_id"]: row for row in csv.DictReader(file)}
    for split, clips in texts_by_split(demo / "shards").items():
        for clip_id, texts in clips.items():
            assert manifest[clip_id]["split"] == split
            if split != "train":
                assert texts == [manifest[clip_id]["text"]]


def test_the_demo_reports_what_it_made(demo: Path) -> None:
    report = (demo / "report.html").read_text()
    assert "http://" not in report.replace("http://www.w3.org/", "")
    assert "https://" not in report
    assert "Does it help?" in report
    for arm in (
        "human, plain contrastive",
        "human, margin and weights",
        "generated, margin and weights",
    ):
        assert arm in report
        metrics = json.loads((demo / f"runs/{arm}-seed0/metrics.json").read_text())
        assert metrics["test"]["text_to_video"]["num_queries"] == 96
        assert metrics["num_steps"] == 6


def test_the_demo_run_again_redoes_nothing(demo: Path) -> None:
    files = [p for p in demo.rglob("*") if p.is_file() and p.name != "report.html"]
    before = {p: p.stat().st_mtime_ns for p in files}
    result = run_pipeline(
        "shapes_cpu.py", "--out", demo, "--num-videos", 40, "--steps", 6, "--num-seeds", 1
    )
    assert result.returncode == 0, result.stdout + result.stderr
    data = [p for p in before if p.suffix in (".parquet", ".safetensors")]
    assert data
    assert all(p.stat().st_mtime_ns == before[p] for p in data)


def test_a_persons_folder_with_broken_files_in_it(tmp_path: Path) -> None:
    make_world(tmp_path / "world", WorldConfig(num_videos=4, meta=0, val=0, test=0))
    folder = tmp_path / "world/videos"
    (folder / "broken.mp4").write_bytes(b"not a video")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("no video at all")
    result = run_pipeline(
        "folder_of_videos.py",
        folder,
        "--out",
        tmp_path / "work",
        "--model",
        "llava-shapes",
        "--epochs",
        1,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    ledger = audit(StepDir.open(str(tmp_path / "work/clips")), deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (6, 4, 2)
    assert (tmp_path / "work/report.html").stat().st_size > 10_000


def test_a_folder_that_grows_is_trained_on_anew_and_one_that_does_not_is_left(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path / "world", WorldConfig(num_videos=12, meta=0, val=0, test=0))
    videos = sorted(world.manifest.parent.glob("videos/*.mp4"))
    folder, work = tmp_path / "folder", tmp_path / "work"
    folder.mkdir()
    for path in videos[:9]:
        shutil.copy(path, folder)
    line = ("folder_of_videos.py", folder, "--out", work, "--model", "llava-shapes", "--epochs", 1)
    result = run_pipeline(*line)
    assert result.returncode == 0, result.stdout + result.stderr
    trained = work / "run/metrics.json"
    first = trained.stat().st_mtime_ns
    assert run_pipeline(*line).returncode == 0
    assert trained.stat().st_mtime_ns == first
    assert not (work / "shards-before").exists()
    for path in videos[9:]:
        shutil.copy(path, folder)
    # What a kill between the two moves leaves: the run has gone, its shards are still there.
    (work / "run").rename(work / "run-before")
    result = run_pipeline(*line)
    assert result.returncode == 0, result.stdout + result.stderr
    clips = texts_by_split(work / "shards")["train"]
    assert len(clips) == 12
    before = texts_by_split(work / "shards-before")["train"]
    assert len(before) == 9
    assert set(before) < set(clips)
    second = trained.stat().st_mtime_ns
    assert second != first
    result = run_pipeline(*line)
    assert result.returncode == 0, result.stdout + result.stderr
    assert trained.stat().st_mtime_ns == second
    assert len(texts_by_split(work / "shards")["train"]) == 12


def test_real_footage_with_its_manifest(tmp_path: Path, shared_dir: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(shared_dir / "videos", videos)
    result = run_pipeline(
        "folder_of_videos.py",
        videos / "manifest.csv",
        "--out",
        tmp_path / "work",
        "--model",
        "llava-shapes",
        "--epochs",
        2,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    train = texts_by_split(tmp_path / "work/shards")["train"]
    assert len(train) == 3
    assert sum("telescope" in text for texts in train.values() for text in texts) == 1
    assert (tmp_path / "work/run/metrics.json").exists()


def test_what_a_later_step_lacks_ends_a_pipeline_before_the_first_decode(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"x")
    script = str(REPOSITORY / "pipelines" / "folder_of_videos.py")
    options = ["--out", str(tmp_path / "work"), "--model", str(tmp_path / "no-model")]
    result = subprocess.run(
        [sys.executable, script, str(videos), *options], capture_output=True, text=True
    )
    assert result.returncode == 2, result.stderr
    assert "no-model" in result.stderr
    assert not (tmp_path / "work").exists()
