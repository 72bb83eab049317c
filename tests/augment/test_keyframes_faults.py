"""What is wrong with one input, an option or the disk costs that alone, and is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mama_augment.ledger import Reject
from mama_augment.store import StepDir
from tests.augment.numbered import write_numbered
from tests.augment.test_keyframes_step import run


def rejects_of(out: Path) -> list[Reject]:
    step_dir = StepDir.open(str(out))
    return [r for rec in step_dir.records().values() for r in step_dir.read_rejects(rec)]


def test_a_name_that_is_no_text_costs_its_file_only(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    path = write_numbered(videos / "good.mp4", 20, size=(96, 64))
    (videos / os.fsdecode(b"\xff.mp4")).write_bytes(path.read_bytes())
    result = run(videos, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    ledger = StepDir.open(str(tmp_path / "out")).ledger(deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (2, 1, 1)
    (reject,) = rejects_of(tmp_path / "out")
    assert reject.reason == "bad_name"
    assert "\\xff.mp4" in reject.message
    assert "rename the file" in reject.message


@pytest.mark.parametrize("split", [[], ["--split-seconds", "5"]])
@pytest.mark.parametrize(
    ("uri", "verdict", "reason", "words"),
    [
        ("foo://x/y.mp4", "failed", "unknown_scheme", "foo://x/y.mp4"),
        ("a\0b.mp4", "rejected", "bad_name", "NUL"),
        ("gs3://\0.mp4", "rejected", "bad_name", "NUL"),
    ],
)
def test_a_uri_that_cannot_be_opened_costs_its_row_only(
    tmp_path: Path, uri: str, verdict: str, reason: str, words: str, split: list[str]
) -> None:
    path = write_numbered(tmp_path / "good.mp4", 20, size=(96, 64))
    (tmp_path / "m.csv").write_text(f"video\n{uri}\n{path}\n")
    result = run(tmp_path / "m.csv", "--out", tmp_path / "out", *split)
    assert result.exit_code == (1 if verdict == "failed" else 0), result.output
    ledger = StepDir.open(str(tmp_path / "out")).ledger(deep=True)
    assert (ledger.num_in, ledger.num_ok, ledger.num_pending) == (2, 1, 0)
    (reject,) = rejects_of(tmp_path / "out")
    assert (reject.verdict, reject.reason) == (verdict, reason)
    assert words in reject.message
