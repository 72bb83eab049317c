"""What is everybody's fault stops the step; what is a clip's own does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.breaker import Breaker, EverybodysFaultError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from tests.augment.numbered import write_numbered


def see(breaker: Breaker, reason: str, num_left: int = 4, sources: str = "abcd") -> None:
    breaker.see([reason] * num_left, 4, list(sources)[:4], "no such file")


def test_two_units_in_a_row_stop_it_where_what_went_well_does_so_no_more() -> None:
    breaker = Breaker("keyframes", lambda: False)
    see(breaker, "io_error", sources="abcd")
    with pytest.raises(EverybodysFaultError, match=r"8 items in a row.*io_error.*stay pending"):
        see(breaker, "io_error", sources="efgh")


@pytest.mark.parametrize("between", ["ok", "another reason", "not shared", "still works"])
def test_what_is_not_in_a_row_or_not_shared_does_not(between: str) -> None:
    breaker = Breaker("keyframes", lambda: between == "still works")
    for number in range(12):
        see(breaker, "io_error", sources=f"{number}abc")
        if between == "ok":
            see(breaker, "io_error", num_left=3)
        elif between == "another reason":
            see(breaker, "missing", sources=f"{number}def")
        elif between == "not shared":
            see(breaker, "unreadable", sources=f"{number}def")


def test_one_lost_video_of_many_clips_is_no_outage() -> None:
    breaker = Breaker("keyframes", lambda: False)
    for _ in range(50):
        see(breaker, "missing", sources="aaaa")


def test_what_was_not_tried_now_says_nothing() -> None:
    breaker = Breaker("keyframes", lambda: False)
    see(breaker, "missing", sources="abcd")
    breaker.see([], 0, ["e"], "")
    with pytest.raises(EverybodysFaultError):
        see(breaker, "missing", sources="efgh")


def test_a_root_that_is_not_there_rejects_nobody(tmp_path: Path) -> None:
    manifest, out = tmp_path / "m.csv", tmp_path / "out"
    manifest.write_text("\n".join(["video", *(f"{n}.mp4" for n in range(40))]))
    videos = tmp_path / "videos"
    arguments = ["keyframes", str(manifest), "--out", str(out), "--clips-per-unit", "4"]
    arguments += ["--video-root", str(videos)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "none of theirs" in " ".join(result.output.split())
    assert "missing (the file is not there)" in " ".join(result.output.split())
    ledger = audit(StepDir.open(str(out)), deep=True)
    assert (ledger.num_in, ledger.num_pending, ledger.problems) == (40, 40, ())
    videos.mkdir()
    for number in range(40):
        write_numbered(videos / f"{number}.mp4", 3, size=(48, 32))
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_a_disk_that_goes_away_in_the_middle_rejects_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out, videos = tmp_path / "m.csv", tmp_path / "out", tmp_path / "videos"
    videos.mkdir()
    for number in range(30):
        write_numbered(videos / f"{number:02d}.mp4", 3, size=(48, 32))
    manifest.write_text("\n".join(["video", *(f"{n:02d}.mp4" for n in range(30))]))
    plain = StepDir.commit
    commits: list[str] = []

    def commit(self: StepDir, unit_id: str, *args: object, **kwargs: object) -> object:
        commits.append(unit_id)
        if len(commits) == 3:
            videos.rename(tmp_path / "unmounted")
        return plain(self, unit_id, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(StepDir, "commit", commit)
    arguments = ["keyframes", str(manifest), "--out", str(out), "--workers", "1"]
    arguments += ["--clips-per-unit", "3", "--video-root", str(videos)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert len(commits) == 5, "the second unit in a row stops it"
    ledger = audit(StepDir.open(str(out)), deep=True)
    assert (ledger.num_ok, ledger.num_failed, ledger.num_pending) == (9, 0, 21)
    monkeypatch.undo()
    (tmp_path / "unmounted").rename(videos)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert audit(StepDir.open(str(out)), deep=True).num_ok == 30


def keyframes(manifest: Path, out: Path, *more: str) -> int:
    arguments = ["keyframes", str(manifest), "--out", str(out), "--clips-per-unit", "4", *more]
    return CliRunner().invoke(app, arguments).exit_code


@pytest.mark.parametrize("workers", ["1", "4", "16"])
def test_really_lost_videos_stop_nobody(tmp_path: Path, workers: str) -> None:
    """Wherever they stand, and again when they are tried again."""
    videos = tmp_path / "videos"
    videos.mkdir()
    names = [f"{n:02d}.mp4" for n in range(32)]
    for name in names[12:18]:
        write_numbered(videos / name, 3, size=(48, 32))
    (tmp_path / "m.csv").write_text("\n".join(["video", *(f"videos/{name}" for name in names)]))
    out = tmp_path / "out"
    for more in ([], ["--retry-failed"], []):
        assert keyframes(tmp_path / "m.csv", out, "--workers", workers, *more) == 1
        ledger = audit(StepDir.open(str(out)), deep=True)
        assert (ledger.num_ok, ledger.num_failed, ledger.num_pending) == (6, 26, 0)
    for name in names[:8]:
        write_numbered(videos / name, 3, size=(48, 32))
    assert keyframes(tmp_path / "m.csv", out, "--workers", workers, "--retry-failed") == 1
    assert audit(StepDir.open(str(out)), deep=True).num_ok == 14


@pytest.mark.parametrize("workers", ["1", "16"])
def test_nobody_is_rejected_however_many_workers_see_nothing(tmp_path: Path, workers: str) -> None:
    (tmp_path / "m.csv").write_text("\n".join(["video", *(f"{n}.mp4" for n in range(40))]))
    assert keyframes(tmp_path / "m.csv", tmp_path / "out", "--workers", workers) == 1
    assert audit(StepDir.open(str(tmp_path / "out"))).num_pending == 40


def test_texts_are_corrected_although_the_videos_are_gone(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(12):
        write_numbered(videos / f"{number:02d}.mp4", 3, size=(48, 32))
    names = [f"videos/{number:02d}.mp4" for number in range(24)]  # the second half is lost
    (tmp_path / "m.csv").write_text("\n".join(["video,text", *(f"{n},a" for n in names)]))
    assert keyframes(tmp_path / "m.csv", tmp_path / "out") == 1
    videos.rename(tmp_path / "elsewhere")
    (tmp_path / "m.csv").write_text("\n".join(["video,text", *(f"{n},b" for n in names)]))
    assert keyframes(tmp_path / "m.csv", tmp_path / "out") == 1
    ledger = audit(StepDir.open(str(tmp_path / "out")), deep=True)
    assert (ledger.num_ok, ledger.num_failed, ledger.num_pending) == (12, 12, 0)


def test_videos_that_are_not_mounted_are_not_kept_as_uncut(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    names = [f"{n}.mp4" for n in range(4)]
    (tmp_path / "m.csv").write_text("\n".join(["video", *(f"videos/{name}" for name in names)]))
    cut = ["--cut-seconds", "0.4"]
    assert keyframes(tmp_path / "m.csv", tmp_path / "out", *cut) == 1
    videos.mkdir()
    for name in names:
        write_numbered(videos / name, 30, size=(48, 32))
    assert keyframes(tmp_path / "m.csv", tmp_path / "out", *cut) == 0
    assert audit(StepDir.open(str(tmp_path / "out"))).num_ok == 12


def test_a_directory_that_nothing_came_of_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"no video")
    arguments = ["keyframes", str(tmp_path / "videos"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "Nothing is ok" in result.output
