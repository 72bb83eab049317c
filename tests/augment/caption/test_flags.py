"""`--skip-flags`: clips not worth a caption get none, and are accounted for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mama_augment.budget.plan_file import read_plan
from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.shared.flags import parse_flags
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.caption.test_step import SETTINGS, caption, texts
from tests.augment.scripted_engine import Script
from tests.augment.worlds import clip, write_clips

FLAGS = {"c1": ["black", "static"], "c3": ["static"], "c4": ["interlaced"], "c8": ["static"]}
SPLITS = {"c3": "test"}


def look_of(number: int) -> int:
    """64 bits that are unlike those of another number."""
    digest = hashlib.sha256(bytes([number])).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@pytest.fixture
def clips_dir(tmp_path: Path) -> str:
    rows = [
        clip(
            f"c{number}",
            f"a dog runs {number}",
            split=SPLITS.get(f"c{number}"),
            flags=FLAGS.get(f"c{number}", []),
            frame_hashes=[look_of(number % 7)] * 2,
        )
        for number in range(10)
    ]
    return write_clips(tmp_path / "clips", rows)


def test_flagged_clips_get_no_caption_and_are_told_of(clips_dir: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, skip_flags=("static",))
    ledger = caption(clips_dir, tmp_path / "out", start=Script().start, settings=settings)
    assert (ledger.num_in, ledger.num_ok, ledger.exit_code) == (7, 7, 0)
    assert [clip_id for clip_id, _ in texts(tmp_path / "out")] == [
        f"c{number}" for number in (0, 2, 4, 5, 6, 7, 9)
    ]
    found = StepDir.open(str(tmp_path / "out"))
    assert found.manifest.left_out == {"flagged": 2, "split_reserved": 1}
    assert found.manifest.config["skip_flags"] == ["static"]
    assert audit(found, deep=True).holds
    with pytest.raises(InputError, match="skip_flags was"):
        caption(clips_dir, tmp_path / "out", start=Script().start, settings=SETTINGS)


def test_a_run_without_them_is_what_it_was(clips_dir: str, tmp_path: Path) -> None:
    caption(clips_dir, tmp_path / "out", start=Script().start)
    assert "skip_flags" not in StepDir.open(str(tmp_path / "out")).manifest.config


def test_where_all_are_flagged_that_is_said(tmp_path: Path) -> None:
    clips_dir = write_clips(tmp_path / "clips", [clip("a", flags=["black"])])
    settings = replace(SETTINGS, skip_flags=("black",))
    with pytest.raises(InputError, match=r"1 of the clips .* have one of the flags black"):
        caption(clips_dir, tmp_path / "out", start=Script().start, settings=settings)


def test_a_plan_leaves_them_out_and_near_identical_ones(clips_dir: str, tmp_path: Path) -> None:
    out = tmp_path / "plan.parquet"
    options = ["--budget", "20", "--concepts", "topics", "--skip-flags", "static,near_identical"]
    result = CliRunner().invoke(app, ["plan", clips_dir, "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    assert "5 clips get none because of their flags" in result.output
    rows = {row["clip_id"]: row for row in pq.read_table(out).to_pylist()}
    assert len(rows) == 10
    reasons = {i: row["reason"] for i, row in rows.items() if not row["num_captions"]}
    assert reasons == {
        "c1": "flagged: static",
        "c3": "held out for test",
        "c7": "flagged: near_identical",
        "c8": "flagged: static",
        "c9": "flagged: near_identical",
    }
    assert "c1" not in read_plan(str(out)).counts


def test_unknown_flags_are_refused() -> None:
    assert parse_flags("black, static,black") == ("black", "static")
    with pytest.raises(InputError, match="names 'blak'; did you mean 'black'"):
        parse_flags("blak")
    result = CliRunner().invoke(
        app, ["caption", "x", "--out", "y", "--skip-flags", "near_identical"]
    )
    assert isinstance(result.exception, InputError)
    assert "only `mama-augment plan` looks at all clips" in str(result.exception)
