"""Directories that a stranger has filled: nothing beside them is read, written or deleted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from mama_augment.caption.engines import turn
from mama_augment.caption.journal import DiskJournal
from mama_augment.core.errors import InputError, StoppedError
from mama_augment.core.safe.own_files import open_own, read_regular
from mama_augment.core.safe.trust import trusting
from mama_augment.core.store.files import Folder, whole, write_whole
from mama_augment.core.store.layout import is_own_folder
from mama_augment.core.store.lock import locked
from mama_augment.core.store.records import UnitRecord
from mama_augment.core.store.step_dir import StepDir
from mama_train.export import folder as export
from mama_train.run.history import History
from tests.augment.numbered import write_numbered
from tests.security.hostile import run

PRECIOUS = b"somebody's own, written years ago"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that must stay as it is."""
    (tmp_path / "victim").mkdir()
    path = tmp_path / "victim/notes.txt"
    path.write_bytes(PRECIOUS)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and the finished step of them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "videos").mkdir()
    for number in range(2):
        write_numbered(folder / f"videos/{number}.mp4", 12, size=(64, 48))
    assert keyframes(folder / "videos", folder / "out") == 0
    return folder


@pytest.fixture
def out(tmp_path: Path, made: Path) -> Path:
    """A copy of the finished step."""
    return Path(shutil.copytree(made / "out", tmp_path / "out"))


def keyframes(videos: Path, out: Path, *more: object) -> int:
    line = ("keyframes", videos, "--out", out, "-q", 2, "--clips-per-unit", 1, "--workers", 1)
    try:
        return run(*line, *more).exit_code
    except InputError:
        return 2


@pytest.mark.parametrize("link", ["soft", "hard", "broken", "fifo"])
@pytest.mark.parametrize("name", [".lock", ".lock-1-of-2", ".lock-of-2", ".lock-opening"])
def test_a_lock_that_is_a_link_is_refused(
    tmp_path: Path, victim: Path, made: Path, out: Path, link: str, name: str
) -> None:
    lock = out / name
    target = victim.parent / "made" if link == "broken" else victim
    match link:
        case "soft" | "broken":
            lock.symlink_to(target)
        case "hard":
            os.link(victim, lock)
        case "fifo":
            os.mkfifo(lock)
    share = [] if name == ".lock" else ["--share", "1/2"]
    assert keyframes(made / "videos", out, *share) == 2
    with pytest.raises(InputError, match="is a link"):
        os.close(open_own(lock, os.O_RDWR | os.O_CREAT))
    assert victim.read_bytes() == PRECIOUS
    assert list(victim.parent.iterdir()) == [victim]


def test_a_commit_record_names_files_of_its_own_directory_only(
    victim: Path, made: Path, out: Path
) -> None:
    """What it says in its content, or by its name, deletes nothing elsewhere."""
    for record in (out / "units/000").iterdir():
        content = json.loads(record.read_text())
        content["data"]["name"] = "../victim/notes.txt"
        content["rejects"] = {**content["data"], "name": str(victim)}
        record.write_text(json.dumps(content))
        data, place = content["data"], record.parent
        for subfolder in ("..", "../victim", "%2e%2e", str(victim.parent)[1:].replace("/", "-")):
            parts = record.name.split(".")
            parts[4] = f"1-{len(PRECIOUS)}-{data['sha256'][:12]}-{subfolder}"
            named = place / ".".join(parts).replace("/", "\\")
            named.write_bytes(record.read_bytes())
    first = next(out.glob("0*.parquet"))
    first.unlink()  # so that its unit is done again, and what it had is deleted
    assert keyframes(made / "videos", out) == 0
    assert keyframes(made / "videos", out, "--retry-failed") == 0
    for record in (out / "units/000").iterdir():
        with contextlib.suppress(ValueError):
            for file in UnitRecord.from_json(record.read_bytes()).files():
                assert "/" not in file.name.removeprefix("rejects/")
    assert run("status", out, "--deep").exit_code == 1
    assert keyframes(made / "videos", out, "--overwrite") == 0
    assert victim.read_bytes() == PRECIOUS


@pytest.mark.parametrize(
    "name", ["rejects", "train", "test", "units", "units/000", "input", "journal", "cuts"]
)
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--share", "1/2"]])
def test_nothing_is_deleted_or_written_behind_a_linked_folder(
    tmp_path: Path, made: Path, out: Path, name: str, more: list[str]
) -> None:
    data = tmp_path / "victim" / "data"
    data.mkdir(parents=True)
    names = (
        "000000-0123456789ab.parquet",
        ".x.tmp",
        "000000.jsonl",
        "clips-000-0123456789ab.parquet",
    )
    for file in names:
        (data / file).write_bytes(PRECIOUS)
    place = out / name
    if place.exists():
        place.rename(tmp_path / "moved")
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(data)
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    assert keyframes(made / "videos", out, *more) != 0
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    with pytest.raises(InputError, match="is a link to a folder"):
        Folder(str(out)).write_bytes(f"{name}/x.parquet", b"x")
    with pytest.raises(InputError, match="is a link to a folder"):
        Folder(str(out)).delete(f"{name}/{names[0]}")
    with pytest.raises(InputError, match="is a link to a folder"):
        Folder(str(out)).sizes_bytes(name)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


def test_links_in_a_circle_hold_nobody_up(made: Path, out: Path) -> None:
    for name in ("a", "b", "train"):
        (out / "extra").mkdir(exist_ok=True)
        (out / "extra" / name).symlink_to(".")
    for name in ("a", "b"):
        (out / name).symlink_to(".")
    (out / "deep" / "/".join("x" * 200)).mkdir(parents=True)
    started = time.monotonic()
    assert run("status", out).exit_code == 0
    assert keyframes(made / "videos", out) == 0
    assert time.monotonic() - started < 20
    assert not any(
        name.startswith(("a/", "deep/", "extra/")) for name in StepDir.open(str(out)).sizes
    )


def test_only_the_folders_of_a_step_are_looked_into() -> None:
    assert all(map(is_own_folder, ("units", "units/000", "units/1234", "rejects", "train", "cuts")))
    for name in ("", "units/..", "units/000/x", "a", "../units", "train/x", "units/0", "journal/"):
        assert not is_own_folder(name), name


def test_strangers_files_are_no_links_to_others(tmp_path: Path, out: Path) -> None:
    """One's own step may hold links to files, as caches of downloads do."""
    data = next(out.glob("0*.parquet"))
    kept = tmp_path / "kept.parquet"
    data.rename(kept)
    data.symlink_to(kept)
    assert run("status", out).exit_code == 0
    assert "1 │       0" not in run("status", out).output
    with trusting(untrusted=True):
        sizes = StepDir.open(str(out)).sizes
        assert data.name not in sizes
        (out / "kept.json").write_text("{}")
        assert Folder(str(out)).read_bytes("kept.json") == b"{}"
        (out / "link.json").symlink_to("kept.json")
        with pytest.raises(InputError, match="is a link"):
            Folder(str(out)).read_bytes("link.json")
        with (out / "large.json").open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(InputError, match="bytes"):
            Folder(str(out)).read_bytes("large.json")


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_a_manifest_that_is_no_file_holds_nobody_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "manifest.json"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    with pytest.raises(OSError):
        read_regular(str(path))


@pytest.mark.parametrize("name", ["history.jsonl", ".history.jsonl.tmp", "report.html"])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_runs_files_are_written_where_they_are_and_nowhere_else(
    tmp_path: Path, victim: Path, name: str, kind: str
) -> None:
    place = tmp_path / "run" / name
    place.parent.mkdir()
    place.symlink_to(victim) if kind == "soft" else os.link(victim, place)
    rows = [{"kind": "step", "step": 1}]
    history = History(place.parent)  # begins the file anew, under a name that nobody knows
    history.add(rows)
    write_whole(place.parent / "report.html", "<p>")
    assert victim.read_bytes() == PRECIOUS
    (place.parent / "history.jsonl").unlink()
    (place.parent / "history.jsonl").symlink_to(victim)
    with pytest.raises(InputError, match="is a link"):
        history.add(rows)
    assert victim.read_bytes() == PRECIOUS


def test_temporary_files_have_names_that_nobody_can_lay_a_link_under(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with whole(tmp_path / "x") as temporary:
            names.add(temporary.name)
            temporary.write_bytes(b"")
    assert len(names) == 2
    folder = Folder(str(tmp_path))
    victim = tmp_path / "victim"
    victim.write_bytes(PRECIOUS)
    (tmp_path / "x.json").unlink(missing_ok=True)
    (tmp_path / "x.json").symlink_to(victim)
    folder.write_bytes("x.json", b"new")  # takes the link's place
    assert (victim.read_bytes(), (tmp_path / "x.json").read_bytes()) == (PRECIOUS, b"new")
    assert not (tmp_path / "x.json").is_symlink()


def test_captions_are_journalled_in_the_directory_itself(tmp_path: Path, victim: Path) -> None:
    from mama_augment.caption.engines.base import Completion

    said = Completion(text="a dog", num_prompt_tokens=1, num_output_tokens=1, finish_reason="stop",
                      mean_logprob=None)  # fmt: skip
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal/000000.jsonl").symlink_to(victim)
    journal = DiskJournal(Folder(str(tmp_path)))
    with pytest.raises(InputError, match="is a link"):
        journal.add("000000", "key", said)
    (tmp_path / "journal/000000.jsonl").unlink()
    (tmp_path / "journal").rmdir()
    (tmp_path / "journal").symlink_to(victim.parent)
    with pytest.raises(InputError, match="is a link"):
        journal.add("000000", "key", said)
    assert list(victim.parent.iterdir()) == [victim]
    assert victim.read_bytes() == PRECIOUS


def test_the_turn_of_engines_is_taken_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(turn.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with turn.start_turn():
        (lock,) = (tmp_path / "runtime").rglob("*.lock")
        assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700
    lock.unlink()
    lock.parent.rmdir()
    # A folder that another user may write to, or made in its place, is not taken.
    own = lock.parent
    own.symlink_to(victim.parent)
    with turn.start_turn():
        assert list(victim.parent.iterdir()) == [victim]
        (lock,) = (tmp_path / "tmp").rglob("*.lock")
    os.chmod(lock.parent, 0o777)
    with pytest.raises(StoppedError, match="XDG_RUNTIME_DIR"), turn.start_turn():
        raise AssertionError("taken")


def test_an_export_replaces_links_instead_of_writing_through_them(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    for name in ("model.safetensors", "config.json", "README.md"):
        (out / name).symlink_to(victim)

    class StopError(Exception):
        pass

    def tensors() -> None:
        raise StopError

    model = export.ClipMean.__new__(export.ClipMean)
    object.__setattr__(model, "published_tensors", tensors)
    with pytest.raises(StopError):
        export.write_export(out, model, None, checkpoint=None)  # type: ignore[arg-type]
    assert not any(path.is_symlink() for path in out.iterdir())
    assert victim.read_bytes() == PRECIOUS


def test_a_lock_is_what_it_was(tmp_path: Path) -> None:
    """Where nobody means harm: made, noted in, gone."""
    with locked(str(tmp_path / "new")):
        assert json.loads((tmp_path / "new/.lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "new").exists()
