"""Several machines, each with its share of one directory: together they give what one run gives."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mama_augment.cli import app
from mama_augment.core.errors import InputError
from mama_augment.core.shares import Share
from mama_augment.core.store.audit import audit
from mama_augment.core.store.files import Folder
from mama_augment.core.store.lock import locked
from mama_augment.core.store.step_dir import StepDir
from tests.augment.keyframes.test_growth import rows_of
from tests.augment.numbered import write_numbered

REPOSITORY = Path(__file__).resolve().parents[3]
MAIN = "from mama_augment.cli import main; main()"
HANGING = (
    "import mama_augment.keyframes.step as step\n"
    "step.EXTRACT = 'tests.augment.isolated_functions:extract_or_hang'\n"
)
NUM_VIDEOS = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(NUM_VIDEOS):
        write_numbered(folder / f"{number}.mp4", 20 + number, size=(96, 64))
    return folder


def command(folder: Path, out: Path, *more: str, program: str = MAIN) -> list[str]:
    options = ["--num-frames", "3", "--clips-per-unit", "1", "--workers", "1"]
    arguments = ["keyframes", str(folder), "--out", str(out), *options, *more]
    return [sys.executable, "-c", program, *arguments]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        arguments, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def data_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")}


def wait_for_records(out: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.rglob("units/*/*.json"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_at_once_one_killed_and_taken_over_and_a_growth_between(
    folder: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert subprocess.run(command(folder, whole), capture_output=True).returncode == 0
    hang = write_numbered(folder / "hang.mp4", 20, size=(96, 64))  # units 0 2 4 … hang at the last
    first = start(command(folder, out, "--share", "1/2", program=HANGING + MAIN))
    second = start(command(folder, out, "--share", "2/2"))
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "share 2/2: 5 of 5 done" in said
    wait_for_records(out, 10)
    first.send_signal(signal.SIGKILL)
    first.wait()
    hang.unlink()
    write_numbered(hang, 20, size=(96, 64))
    ledger = audit(StepDir.open(str(out)))
    assert (ledger.num_ok, ledger.num_pending) == (NUM_VIDEOS, 1)
    # More comes in; the other machine takes over, and sees all.
    write_numbered(folder / "a-new.mp4", 30, size=(96, 64))
    taken = subprocess.run(
        command(folder, out, "--share", "1/2"), capture_output=True, text=True, check=True
    )
    last = subprocess.run(
        command(folder, out, "--share", "2/2"), capture_output=True, text=True, check=True
    )
    assert "left to other shares" in taken.stdout + taken.stderr
    assert "left to other shares" not in last.stdout + last.stderr
    assert audit(StepDir.open(str(out)), deep=True).exit_code == 0
    fresh = tmp_path / "fresh"
    assert subprocess.run(command(folder, fresh), capture_output=True).returncode == 0
    assert rows_of(out) == rows_of(fresh)
    # Units of one clip have the same boundaries, so their files are the same.
    assert sorted(data_of(out).values()) == sorted(data_of(fresh).values())
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("num", [2, 3, 7])
def test_every_unit_is_in_one_share(num: int) -> None:
    units = [f"{n:06d}" for n in range(20)]
    shares = [Share(index=index, num=num).of(units) for index in range(1, num + 1)]
    assert sorted(unit for share in shares for unit in share) == units


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_no_other_share_is_taken(text: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--share is .*2/8"):
        Share.parse(text)


def test_who_may_write_beside_whom(tmp_path: Path) -> None:
    one, two = Share(index=1, num=2), Share(index=2, num=2)
    with locked(tmp_path / "out", one):
        with locked(tmp_path / "out", two):
            assert (tmp_path / "out/.lock").exists()
        for other in (one, None):
            with pytest.raises(InputError, match="another run"), locked(tmp_path / "out", other):
                pass
        with (
            pytest.raises(InputError, match="shares of 2 are being worked on"),
            locked(tmp_path / "out", Share(index=2, num=3)),
        ):
            pass
    with (
        locked(tmp_path / "out"),
        pytest.raises(InputError, match="another run"),
        locked(tmp_path / "out", two),
    ):
        pass
    assert not (tmp_path / "out").exists()


def test_a_share_leaves_the_files_of_others_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = CliRunner().invoke
    options = ["--num-frames", "3", "--clips-per-unit", "1", "--share"]
    arguments = ["keyframes", str(folder), "--out", str(out), *options]
    assert run(app, [*arguments, "1/2"]).exit_code == 0
    # As a worker of the other share has them just before its record.
    theirs = {"000001-0123456789ab.parquet", ".000003-0123456789ab.parquet.77.tmp", ".seen-77"}
    ours = {"000002-0123456789ab.parquet", ".000002-0123456789ab.parquet.77.tmp"}
    for name in theirs | ours:
        (out / name).write_bytes(b"half")
    assert run(app, [*arguments, "1/2"]).exit_code == 0
    names = {path.name for path in out.iterdir()}
    assert theirs <= names
    assert not ours & names
    result = run(app, [*arguments, "1/2", "--overwrite"])
    assert isinstance(result.exception, InputError)
    assert "--overwrite and --share 1/2" in str(result.exception)


def test_shares_that_begin_with_different_inputs_are_not_mixed(
    folder: Path, tmp_path: Path
) -> None:
    """The second has looked at an empty directory, too, and finds that of the first."""
    from mama_augment.core.step import Silence
    from mama_augment.core.store.output import StepOutput
    from mama_augment.inputs.find import find_clips
    from mama_augment.keyframes.step import KeyFrames

    outputs = [StepOutput(str(tmp_path / "out"), share=Share(index=i, num=2)) for i in (1, 2)]
    steps, manifests = [], []
    for number, output in enumerate(outputs):
        source = tmp_path / f"{number}.csv"
        rows = [f"{folder}/{n}.mp4,c{n},{n == number},0.4" for n in range(4)]
        rows = [row.replace("True", "0.2").replace("False", "0") for row in rows]
        source.write_text("\n".join(["video,clip_id,start_seconds,end_seconds", *rows]))
        steps.append(KeyFrames(find_clips(str(source))))
        manifests.append(steps[-1].manifest(output, Silence()))
    outputs[0].open(manifests[0], steps[0].files())
    with pytest.raises(InputError, match="another input"):
        outputs[1].open(manifests[1], steps[1].files())


def test_wherever_a_retry_dies_no_unit_counts_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each file that it writes or deletes."""
    manifest, failed, whole = tmp_path / "m.csv", tmp_path / "failed", tmp_path / "whole"
    manifest.write_text("\n".join(["video", *(f"videos/{n}.mp4" for n in range(4))]))

    def run(out: Path, *more: str) -> int:
        options = ["--num-frames", "2", "--clips-per-unit", "1", "--workers", "1", *more]
        arguments = ["keyframes", str(manifest), "--out", str(out), *options]
        return CliRunner().invoke(app, arguments).exit_code

    assert run(whole) == 0
    (folder / "2.mp4").rename(folder / "hidden")
    assert run(failed) == 1
    (folder / "hidden").rename(folder / "2.mp4")
    write, delete = Folder.write_bytes, Folder.delete
    left = [0, 0]

    def dying(plain: Any) -> Any:
        def call(self: Folder, *args: Any) -> None:
            left[0] -= 1
            if left[0] == 0 and left[1] == 0:
                raise KeyboardInterrupt
            plain(self, *args)
            if left[0] == 0:
                raise KeyboardInterrupt

        return call

    num_calls = 0
    for number in range(1, 12):
        for after in (0, 1):
            out = tmp_path / f"out{number}{after}"
            shutil.copytree(failed, out)
            left[:] = [number, after]
            monkeypatch.setattr(Folder, "write_bytes", dying(write))
            monkeypatch.setattr(Folder, "delete", dying(delete))
            run(out, "--retry-failed")
            monkeypatch.undo()
            num_calls = max(num_calls, number - max(0, left[0]))
            ledger = audit(StepDir.open(str(out)), deep=True)
            assert ledger.holds, ledger.problems
            assert (ledger.num_in, ledger.num_pending) == (4, 0)
            assert run(out, "--retry-failed") == 0
            assert data_of(out) == data_of(whole)
            assert len(list(out.rglob("units/*/*.json"))) == 4
    assert num_calls >= 4, "data, record, and what they replace"


@pytest.mark.slow
def test_whenever_a_retry_is_killed_no_unit_counts_twice(folder: Path, tmp_path: Path) -> None:
    """20 seeded kills of `--retry-failed`; then the rows are those of an undisturbed run."""
    rng = random.Random(0)
    whole, failed, hidden = tmp_path / "whole", tmp_path / "failed", tmp_path / "hidden"
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n".join(["video", *(f"videos/{n}.mp4" for n in range(NUM_VIDEOS))]))

    def arguments(out: Path, *more: str) -> list[str]:
        two = ["--clips-per-unit", "2", *more]
        return [part for part in command(manifest, out, *two) if part != ""]

    assert subprocess.run(arguments(whole), capture_output=True).returncode == 0
    hidden.mkdir()
    lost = [folder / f"{n}.mp4" for n in range(0, NUM_VIDEOS, 2)]
    for path in lost:
        shutil.move(path, hidden / path.name)
    assert subprocess.run(arguments(failed), capture_output=True).returncode == 1
    for path in lost:
        shutil.move(hidden / path.name, path)
    seconds = 3.0
    for number in range(20):
        out = tmp_path / f"out{number}"
        shutil.copytree(failed, out)
        retry = start(arguments(out, "--retry-failed"))
        began = time.monotonic()
        try:
            retry.wait(timeout=rng.uniform(0.3, 1.0) * seconds)
            seconds = min(seconds, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            retry.kill()
        retry.wait()
        ledger = audit(StepDir.open(str(out)), deep=True)
        assert ledger.holds, ledger.problems
        assert ledger.num_in == NUM_VIDEOS
        assert subprocess.run(arguments(out, "--retry-failed"), capture_output=True).returncode == 0
        assert rows_of(out) == rows_of(whole)
        assert data_of(out) == data_of(whole)
        shutil.rmtree(out)
