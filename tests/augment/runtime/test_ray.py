"""The Ray runtime, with a real Ray: reached by nobody else, fair to fast workers, healed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from mama_augment.runtime import RuntimeConfig, run_units
from mama_augment.runtime.tally import Tally
from tests.augment.runtime.dying import ITEMS, DyingWorker, EnvironmentWorker, SlowWorker

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "sk-that-ray-must-not-show"

pytestmark = pytest.mark.slow

ALONE = """
from mama_augment.runtime import RuntimeConfig, run_units
from tests.augment.runtime.test_ray import Looking
run_units(["a"], Looking, RuntimeConfig(runtime="ray", num_workers=1))
"""


class Looking:
    """Prints where Ray's processes of this command listen; found from inside."""

    def run_unit(self, unit_id: str) -> int:
        import psutil
        import ray

        node = ray.get_runtime_context().gcs_address
        raylet = psutil.Process(os.getppid())
        while raylet.name() != "raylet":
            raylet = raylet.parent()
        family = [raylet, *raylet.children(recursive=True), *raylet.parent().children()]
        places = {
            connection.laddr.ip
            for process in family
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        Path(os.environ["LOOKING"]).write_text(f"{node} {sorted(places)}")
        return 1

    def close(self) -> None:
        """Nothing is held."""


def test_a_ray_of_our_own_listens_to_this_machine_alone(tmp_path: Path) -> None:
    note = tmp_path / "note"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "LOOKING": str(note)}
    environment.pop("RAY_ADDRESS", None)
    subprocess.run([sys.executable, "-c", ALONE], env=environment, check=True, timeout=300)
    gcs, places = note.read_text().split(" ", 1)
    assert gcs.startswith("127.0.0.1:")
    assert len(places) > 10
    assert set(ast.literal_eval(places)) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.fixture(scope="module", autouse=True)
def running() -> object:
    import ray

    ray.init(address="local", num_cpus=5, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_killed_actor_is_replaced_and_counts_arrive_once(tmp_path: Path) -> None:
    units = ["a", "deadly-b", "c", "d"]
    done: list[str] = []
    told: list[int] = []
    make_worker = partial(DyingWorker, tmp_path, Tally(told.append))
    config = RuntimeConfig(runtime="ray", num_workers=2)
    run_units(units, make_worker, config, lambda unit_id, number: done.append(unit_id))
    assert sorted(done) == sorted(units)
    assert sum(told) == ITEMS * len(units)


def test_units_do_not_wait_behind_a_slow_worker(tmp_path: Path) -> None:
    slow, fast = 21.0, 3.0
    units = [f"u{number}" for number in range(8)]
    config = RuntimeConfig(runtime="ray", num_workers=2)
    run_units(units, partial(SlowWorker, tmp_path, slow, fast, 2), config)
    times = [tuple(map(float, p.read_text().split())) for p in tmp_path.glob("*.times")]
    assert len(times) == len(units)
    assert sum(seconds == slow for *_, seconds in times) <= 2, "one as long as all others, or two"
    makespan = max(end for _, end, _ in times) - min(begin for begin, *_ in times)
    ideal = 7 * fast
    print(f"makespan {makespan:.2f} s, {makespan / ideal:.3f} of the ideal")
    assert makespan <= 1.15 * ideal


def test_the_environment_travels_and_the_key_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("HF_HOME", "OPENAI_API_KEY", "MINE")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MINE", "yes")
    config = RuntimeConfig(runtime="ray", num_workers=1, env=("MINE",))
    run_units(["a"], partial(EnvironmentWorker, tmp_path, names), config)
    found = (tmp_path / "environment").read_text().splitlines()
    assert found == ["HF_HOME=/somewhere", f"OPENAI_API_KEY={KEY}", "MINE=yes"]
    assert KEY.encode() not in (tmp_path / "seen").read_bytes()


def test_a_pool_grows_while_there_is_work_and_room(tmp_path: Path) -> None:
    config = RuntimeConfig(runtime="ray", num_workers=3, least_workers=1)
    units = [f"u{number}" for number in range(12)]
    run_units(units, partial(SlowWorker, tmp_path, 1.5, 1.5), config)
    spans = [tuple(map(float, p.read_text().split()[:2])) for p in tmp_path.glob("*.times")]
    most = max(sum(b <= begin < e for b, e in spans) for begin, _ in spans)
    assert (len(spans), most) == (12, 3)
