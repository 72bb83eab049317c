"""Workers in processes of their own: killed ones are started again, and counts arrive once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from mama_augment.runtime import RuntimeConfig, WorkerDiedError, run_units
from mama_augment.runtime.tally import Tally
from tests.augment.runtime.dying import ITEMS, DyingWorker

REPOSITORY = Path(__file__).resolve().parents[3]
TWO = RuntimeConfig(num_workers=2, places=(("0",), ("1",)))
UNITS = ["a", "deadly-b", "c", "d", "e", "f"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)  # the workers' classes lie among the tests


def begun(folder: Path) -> dict[str, int]:
    return {p.stem: len(p.read_text().splitlines()) for p in folder.glob("*.begun")}


def test_a_killed_worker_is_started_again_and_its_unit_done_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    told: list[int] = []
    tally = Tally(told.append)
    make_worker = partial(DyingWorker, tmp_path, tally)
    run_units(UNITS, make_worker, TWO, lambda unit_id, number: done.append(unit_id))
    assert sorted(done) == sorted(UNITS)
    assert begun(tmp_path) == {unit: 1 + unit.startswith("deadly") for unit in UNITS}
    assert all((tmp_path / f"{unit}.done").read_text() == "done\n" for unit in UNITS)
    assert sum(told) == ITEMS * len(UNITS)  # what was told and lost was not told twice
    assert len(told) > len(UNITS)  # while they worked
    assert "signal SIGKILL; it is started again" in caplog.text


def test_work_that_kills_each_worker_stops_the_run_and_costs_no_other(tmp_path: Path) -> None:
    done: list[str] = []
    make_worker = partial(DyingWorker, tmp_path, None, 99)
    with pytest.raises(WorkerDiedError, match=r"SIGKILL, as 2 before it .*\(deadly-b\)"):
        run_units(UNITS, make_worker, TWO, lambda unit_id, number: done.append(unit_id))
    assert begun(tmp_path)["deadly-b"] == 3
    assert set(done) == {p.stem for p in tmp_path.glob("*.done")}
    assert "deadly-b" not in done
