"""Every unit once, wherever it runs; the first error stops the rest and is raised."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from mama_augment.core.errors import InputError
from mama_augment.runtime import RuntimeConfig, run_units
from mama_augment.runtime.gpus import GpuShare
from tests.augment.runtime.counting import CountingWorker

UNITS = [f"unit-{number:02d}" for number in range(9)]


@pytest.mark.parametrize("num_workers", [1, 2, 20])
def test_local_runs_every_unit_once(tmp_path: Path, num_workers: int) -> None:
    done: list[tuple[str, int]] = []
    run_units(
        UNITS,
        partial(CountingWorker, tmp_path),
        RuntimeConfig(num_workers=num_workers),
        lambda unit_id, num_items: done.append((unit_id, num_items)),
    )
    assert sorted(done) == [(unit_id, 3) for unit_id in UNITS]
    assert all((tmp_path / unit_id).read_text() == "done\n" for unit_id in UNITS)
    num_closed = len((tmp_path / "closed").read_text().splitlines())
    assert 1 <= num_closed <= min(num_workers, len(UNITS))  # none is made for nothing


def test_local_with_one_worker_keeps_the_order(tmp_path: Path) -> None:
    done: list[str] = []
    config = RuntimeConfig(num_workers=1)
    run_units(UNITS, partial(CountingWorker, tmp_path), config, lambda unit, _: done.append(unit))
    assert done == UNITS


def test_local_stops_at_the_first_error(tmp_path: Path) -> None:
    units = [*UNITS[:3], "bad", *UNITS[3:]]
    with pytest.raises(OSError, match="no space left for bad"):
        run_units(units, partial(CountingWorker, tmp_path), RuntimeConfig(num_workers=1))
    assert all((tmp_path / unit_id).exists() for unit_id in UNITS[:3])
    assert not any((tmp_path / unit_id).exists() for unit_id in UNITS[3:])
    assert (tmp_path / "closed").exists()


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    run_units([], partial(CountingWorker, tmp_path), RuntimeConfig(runtime="ray"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ray_runs_every_unit_once_and_raises_what_a_unit_raised(tmp_path: Path) -> None:
    import ray

    ray.init(num_cpus=3, num_gpus=0, include_dashboard=False, log_to_driver=False)
    try:
        done: list[tuple[str, int]] = []
        # A GPU each would be welcome; where there is none, nothing waits for it.
        config = RuntimeConfig(runtime="ray", num_workers=2, gpus=GpuShare(per_worker=1))
        run_units(
            UNITS,
            partial(CountingWorker, tmp_path),
            config,
            lambda unit_id, num_items: done.append((unit_id, num_items)),
        )
        assert sorted(done) == [(unit_id, 3) for unit_id in UNITS]
        assert all((tmp_path / unit_id).read_text() == "done\n" for unit_id in UNITS)
        with pytest.raises(Exception, match="no space left for bad"):
            run_units(["bad"], partial(CountingWorker, tmp_path), config)
    finally:
        ray.shutdown()


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(InputError, match=r"'slurm'; allowed: local, ray"):
        RuntimeConfig(runtime="slurm")
    with pytest.raises(InputError, match="--workers is 0"):
        RuntimeConfig(num_workers=0)
