"""Every step is run the same way: resumed, accounted, ended early with what is finished kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mama_augment.core.errors import InputError, StoppedError, TerminatedError
from mama_augment.core.signals import Stop
from mama_augment.core.step import MakeWorker, OnUnitDone, run
from mama_augment.core.store.audit import audit
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig
from tests.augment.core.toy_step import ITEMS, Toy

REPOSITORY = Path(__file__).resolve().parents[3]
HERE = RuntimeConfig(num_workers=1)


class Listener:
    """A teller that remembers."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def phase(self, text: str) -> None:
        self.heard.append((text, 0))

    @contextmanager
    def progress(
        self, name: str, num_total: int, num_done: int = 0
    ) -> Iterator[Callable[[int], None]]:
        self.heard.append((f"{name} {num_done} of {num_total}", 0))
        yield lambda number: self.heard.append(("items", number))


@pytest.mark.parametrize("runtime", [HERE, RuntimeConfig(num_workers=3)])
def test_a_run_does_every_unit_once_and_accounts_for_it(
    tmp_path: Path, runtime: RuntimeConfig
) -> None:
    step, tell = Toy(5), Listener()
    outcome = run(step, StepOutput(str(tmp_path / "out")), runtime, tell)
    assert (outcome.ledger.num_ok, outcome.ledger.exit_code) == (5 * ITEMS, 0)
    assert outcome.num_done == 5 * ITEMS
    assert step.ends == ["finished", "closed"]
    assert tell.heard == [("counting", 0), ("toy 0 of 15", 0), *[("items", ITEMS)] * 5]
    again = run(Toy(5), StepOutput(str(tmp_path / "out")), runtime, told := Listener())
    assert (again.num_done, again.ledger) == (0, outcome.ledger)
    assert told.heard[-1] == ("toy 15 of 15", 0)


def test_a_fault_that_is_no_items_own_stops_the_step_and_rejects_nothing(tmp_path: Path) -> None:
    out = StepOutput(str(tmp_path / "out"))
    step = Toy(5, fault="000003")
    with pytest.raises(StoppedError, match="unknown parameter"):
        run(step, out, HERE)
    assert step.ends == ["closed"]
    ledger = audit(StepDir.open(out.uri))
    assert (ledger.num_ok, ledger.num_pending) == (3 * ITEMS, 2 * ITEMS)
    assert (ledger.num_rejected, ledger.num_failed) == (0, 0)
    assert run(Toy(5), out, HERE).num_done == 2 * ITEMS


def test_another_input_is_refused_and_overwritten_on_request(tmp_path: Path) -> None:
    uri = str(tmp_path / "out")
    run(Toy(2), StepOutput(uri), HERE)
    with pytest.raises(InputError, match="made from another input"):
        run(Toy(3), StepOutput(uri), HERE)
    assert run(Toy(3), StepOutput(uri, overwrite=True), HERE).ledger.num_ok == 3 * ITEMS


@pytest.mark.parametrize("runtime", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_sigterm_waits_for_the_units_in_flight_and_begins_no_other(
    tmp_path: Path, runtime: str
) -> None:
    out = tmp_path / "my [out]"
    command = [sys.executable, "-m", "tests.augment.core.toy_step", str(out), "6", runtime]
    child = subprocess.Popen(
        [*command, "000003", str(tmp_path)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "waiting").exists():
        assert child.poll() is None and time.monotonic() < deadline  # noqa: PT018
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    (tmp_path / "go").touch()
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 143, said
    assert f"stopped: ended by SIGTERM. Finished numbers are kept in {out}" in said
    assert "the same command continues" in said
    ledger = audit(StepDir.open(str(out)))
    assert ledger.num_ok + ledger.num_pending == 6 * ITEMS
    if runtime == "local":
        assert ledger.num_ok == 4 * ITEMS
    else:  # Ray may have handed out one more by then
        assert ledger.num_ok >= 4 * ITEMS
    assert subprocess.run(command, cwd=REPOSITORY).returncode == 0
    assert audit(StepDir.open(str(out))).num_ok == 6 * ITEMS


def test_a_signal_to_the_whole_group_is_no_fault_of_a_worker(tmp_path: Path) -> None:
    """Batch systems signal every process; a worker that ends with it must not be blamed."""
    stop = Stop()
    stop.asked.set()
    with pytest.raises(TerminatedError), stop.draining():
        raise StoppedError("a worker's process died with exit code 1")
    with pytest.raises(StoppedError), Stop().draining():
        raise StoppedError("a worker's process died with exit code 1")


def test_a_worker_that_does_not_see_the_directory_is_refused(tmp_path: Path) -> None:
    """As on a machine that does not share it."""

    class Elsewhere:
        """A runtime whose workers see none of the driver's files."""

        def run_units(
            self,
            unit_ids: Sequence[str],
            make_worker: MakeWorker,
            on_done: OnUnitDone,
            stop: threading.Event,
        ) -> None:
            for proof in (tmp_path / "out").glob(".seen-*"):
                proof.unlink()
            HERE.run_units(unit_ids, make_worker, on_done, stop)

    with pytest.raises(InputError, match=r"does not see '.*out' of .*an object store"):
        run(Toy(3), StepOutput(str(tmp_path / "out")), Elsewhere())
    assert audit(StepDir.open(str(tmp_path / "out"))).num_pending == 3 * ITEMS


@pytest.mark.slow
def test_on_ray_a_relative_out_is_the_drivers_and_a_blind_worker_is_refused_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster was started in another directory than the command."""
    import ray

    (tmp_path / "cluster").mkdir()
    (tmp_path / "driver").mkdir()
    monkeypatch.chdir(tmp_path / "cluster")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        monkeypatch.chdir(tmp_path / "driver")
        on_ray = RuntimeConfig(runtime="ray", num_workers=2)
        assert run(Toy(4), StepOutput("out"), on_ray).ledger.exit_code == 0
        assert (tmp_path / "driver/out/manifest.json").exists()
        assert not list((tmp_path / "cluster").iterdir())
        monkeypatch.setattr("mama_augment.core.store.lock.Path.touch", lambda path, **more: None)
        began = time.monotonic()
        with pytest.raises(InputError, match="does not see"):
            run(Toy(4), StepOutput("other"), on_ray)
        assert time.monotonic() - began < 60
    finally:
        ray.shutdown()
