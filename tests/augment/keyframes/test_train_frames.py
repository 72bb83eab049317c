"""A second list of frames, to train on: evenly spaced, true, and only where it is asked for."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.decode.config import PictureConfig, TrainFramesConfig
from mama_augment.inputs.find import find_clips
from mama_augment.keyframes.config import ClipConfig, KeyFramesStep
from mama_augment.keyframes.step import KeyFrames
from mama_augment.keyframes.strategies import STRATEGIES
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.runtime import RuntimeConfig
from tests.augment.numbered import read_number, write_numbered

FPS = 25


def clips_of(manifest: Path, out: Path, strategy: str = "peaks", *, num_train: int = 8) -> pa.Table:
    config = KeyFramesStep(
        clip=ClipConfig(
            choice=KeyFrameConfig(num_frames=3, strategy=strategy),
            picture=PictureConfig(short_side_px=96),
            training=TrainFramesConfig(num_frames=num_train, short_side_px=64),
        )
    )
    step = KeyFrames(find_clips(str(manifest)), config)
    outcome = run(step, StepOutput(str(out)), RuntimeConfig(num_workers=1))
    assert outcome.exit_code == 0
    return pa.concat_tables(StepDir.open(str(out)).tables())


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A whole video, a span that begins inside a group, one with fewer frames than are asked for,
    and a stream without an index."""
    write_numbered(tmp_path / "v.mp4", 100, options={"g": "30", "bf": "2"})
    write_numbered(tmp_path / "w.h264", 40, format="h264", options={"bf": "0"})
    lines = ["video,start_seconds,end_seconds,note", "v.mp4,,,a", "v.mp4,1.0,3.0,b"]
    lines += ["v.mp4,3.2,3.4,c", "w.h264,,,d"]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "m.csv"


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_each_shows_the_frame_of_its_time(manifest: Path, tmp_path: Path, strategy: str) -> None:
    rows = clips_of(manifest, tmp_path / "out", strategy).to_pylist()
    assert sorted(row["note"] for row in rows) == ["a", "b", "c", "d"]
    for row in rows:
        numbers = [read_number(jpeg) for jpeg in row["train_frames"]]
        assert numbers == [round(t * FPS) for t in row["train_frame_seconds"]], row["note"]
        first, last = {"a": (0, 99), "b": (25, 74), "c": (80, 84), "d": (0, 39)}[row["note"]]
        assert len(numbers) == min(8, last - first + 1)
        assert first <= numbers[0] < numbers[-1] <= last
        steps = [b - a for a, b in pairwise(numbers)]
        assert max(steps) - min(steps) <= 1
        sizes = {Image.open(io.BytesIO(jpeg)).size[1] for jpeg in row["train_frames"]}
        assert sizes == {64}
        assert Image.open(io.BytesIO(row["frames"][0])).size[1] == 96


def test_key_frames_are_the_same_without_them(manifest: Path, tmp_path: Path) -> None:
    both = clips_of(manifest, tmp_path / "both")
    alone = clips_of(manifest, tmp_path / "alone", num_train=0)
    assert set(both.column_names) - set(alone.column_names) == {
        "train_frames",
        "train_frame_seconds",
    }
    assert both.select(alone.column_names).equals(alone)


def test_texts_change_and_they_stay(manifest: Path, tmp_path: Path) -> None:
    before = clips_of(manifest, tmp_path / "out")
    manifest.write_text(manifest.read_text().replace(",a", ",z"))
    (tmp_path / "v.mp4").unlink()
    after = clips_of(manifest, tmp_path / "out")
    assert after["train_frames"].equals(before["train_frames"])
    assert "z" in after["note"].to_pylist()
