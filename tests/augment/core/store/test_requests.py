"""What a step asks of an object store: listings, and no request per unit but those that it must."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.store.audit import audit
from mama_augment.core.store.rejects import count_reasons
from mama_augment.core.store.step_dir import StepDir
from tests.augment.caption.test_step import caption
from tests.augment.numbered import write_numbered
from tests.augment.s3 import S3, s3  # noqa: F401
from tests.augment.worlds import clip, write_clips

pytestmark = pytest.mark.slow
SIZES = (6, 14)


def rows(number: int) -> list[dict[str, Any]]:
    return [
        clip(f"c{n:03d}", f"text {n}", split="test" if n % 9 == 0 else None) for n in range(number)
    ]


def per_unit(counts: list[Counter[str]]) -> dict[str, float]:
    """Requests of each kind for every further unit."""
    few, many = counts
    return {kind: (many[kind] - few[kind]) / (SIZES[1] - SIZES[0]) for kind in {*few, *many}}


def keyframes(videos: Path, out: str, *more: str) -> int:
    options = ["--num-frames", "2", "--clips-per-unit", "1", "--workers", "1", *more]
    return CliRunner().invoke(app, ["keyframes", str(videos), "--out", out, *options]).exit_code


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    folders = []
    for number in SIZES:
        folder = tmp_path / f"videos{number}"
        folder.mkdir()
        for n in range(number):
            write_numbered(folder / f"{n:02d}.mp4", 5, size=(48, 32))
        folders.append(folder)
    return folders


def test_a_commit_is_two_puts_and_three_with_rejects(s3: S3, videos: list[Path]) -> None:  # noqa: F811
    written, resumed, listed = [], [], []
    for folder in videos:
        out = f"s3://bucket/{folder.name}"
        s3.reset()
        assert keyframes(folder, out) == 0
        written.append(s3.counts(folder.name))
        s3.reset()
        assert keyframes(folder, out) == 0
        resumed.append(s3.counts(folder.name))
        s3.reset()
        assert CliRunner().invoke(app, ["status", out]).exit_code == 0
        listed.append(s3.counts(folder.name))
    found = per_unit(written)
    assert found.pop("PUT") == 2
    assert not any(found.values()), found
    for counts in (resumed, listed):
        assert not any(per_unit(counts).values()), counts
    assert listed[1]["LIST"] <= 2
    for folder, number in zip(videos, SIZES, strict=True):
        for n in range(number):
            (folder / f"{n:02d}.mp4").write_bytes(b"damaged")
    rejected = []
    for folder in videos:
        write_numbered(folder / "fine.mp4", 5, size=(48, 32))
        s3.reset()
        assert keyframes(folder, f"s3://bucket/bad{folder.name}") == 0
        rejected.append(s3.counts(f"bad{folder.name}"))
    assert per_unit(rejected)["PUT"] == 2  # no data, but rejects
    s3.reset()
    step_dir = StepDir.open(f"s3://bucket/bad{videos[1].name}")
    assert audit(step_dir).num_rejected == SIZES[1]
    assert [reason.num_items for reason in count_reasons(step_dir)] == [SIZES[1]]
    assert s3.counts()["GET"] + s3.counts()["HEAD"] <= 12, "a few examples are read"


def test_captions_are_planned_from_listings(s3: S3, tmp_path: Path) -> None:  # noqa: F811
    planned, run, done = [], [], []
    for number in SIZES:
        clips = write_clips(f"s3://bucket/clips{number}", rows(number), rows_per_unit=1)
        s3.reset()
        dry = [
            "caption",
            clips,
            "--out",
            "s3://bucket/none",
            "--model",
            "llava-shapes",
            "--dry-run",
        ]
        assert CliRunner().invoke(app, dry).exit_code == 0
        planned.append(s3.counts())
        s3.reset()
        out = f"s3://bucket/captions{number}"
        caption(clips, out)
        run.append(s3.counts())
        s3.reset()
        caption(clips, out)
        done.append(s3.counts())
    for counts in (planned, done):
        assert not any(per_unit(counts).values()), counts
    found = per_unit(run)
    assert found["PUT"] <= 2
    assert found.get("HEAD", 0) == 0
    assert found["GET"] <= 4  # which rows get captions, and their frames
    assert not Path("bucket").exists()


def test_a_growth_and_a_retry_ask_about_what_changed(s3: S3, videos: list[Path]) -> None:  # noqa: F811
    few, many = videos
    out = "s3://bucket/out"
    assert keyframes(few, out) == 0
    for path in sorted(many.iterdir())[SIZES[0] :]:
        (few / path.name).write_bytes(path.read_bytes())
    s3.reset()
    assert keyframes(few, out) == 0
    counts = s3.counts()
    assert counts["PUT"] == 2 * (SIZES[1] - SIZES[0]) + 2  # the new list of clips, the manifest
    assert counts["GET"] + counts["HEAD"] <= 20, "however many units there are"
    step_dir = StepDir.open(out)
    assert len(step_dir.manifest.generations) == 2
    assert audit(step_dir, deep=True).exit_code == 0
