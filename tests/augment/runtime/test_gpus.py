"""GPUs of workers: who sees which, and clear words when there are too few. No GPU is needed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mama_augment.caption.engines import gpus_of, memory_share
from mama_augment.caption.engines.base import EngineDiedError
from mama_augment.cli import main
from mama_augment.core.errors import InputError
from mama_augment.runtime import RuntimeConfig, WorkerDiedError, gpus, run_units
from mama_augment.runtime.gpus import GpuShare, check_room, local_places, visible_devices
from mama_augment.runtime.process import ProcessWorker
from tests.augment.runtime.seeing import EndingWorker, SeeingWorker, hold
from tests.augment.worlds import clip, write_clips

REPOSITORY = Path(__file__).resolve().parents[3]
UNITS = [f"unit-{number}" for number in range(4)]


def seen(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


@pytest.mark.parametrize(
    ("per_worker", "devices", "expected"),
    [
        (1, "0 1 2", ["0", "1", "2"]),
        (2, "0 1 2 3 4 5 6", ["0 1", "2 3", "4 5"]),
        (0.5, "0 1", ["0", "0", "1"]),
        (1 / 3, "7", ["7", "7", "7"]),
        (0.4, "GPU-a GPU-b", ["GPU-a", "GPU-a", "GPU-b"]),
        (0.6, "0 1 2", ["0", "1", "2"]),
    ],
)
def test_each_of_three_workers_has_its_place(
    per_worker: float, devices: str, expected: list[str]
) -> None:
    share = GpuShare(per_worker=per_worker)
    check_room(share, 3, [len(devices.split())])
    found = share.places(devices.split(), 3)
    assert [" ".join(place) for place in found] == expected


@pytest.mark.parametrize(
    ("per_worker", "num_workers", "machines", "message"),
    [
        (1, 3, [2], "--replicas 3 with 1 GPUs each do not fit: there are 2 GPUs, with room for 2"),
        (2, 2, [3], "there are 3 GPUs, with room for 1"),
        (2, 2, [1, 1, 2], "there are 4 GPUs on 3 machines, with room for 1"),
        (0.6, 3, [2], "with 0.6 GPUs each do not fit: there are 2 GPUs, with room for 2"),
        (0.5, 1, [], "there are 0 GPUs, with room for 0. To run without a GPU, leave out"),
    ],
)
def test_more_than_there_is_is_refused(
    per_worker: float, num_workers: int, machines: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        check_room(GpuShare(per_worker=per_worker), num_workers, machines)


@pytest.mark.parametrize("number", [0, -1, 1.5, float("nan"), float("inf")])
def test_shares_that_cannot_be_are_refused(number: float) -> None:
    with pytest.raises(InputError, match=r"--gpus-per-replica is .*; allowed: fractions above 0"):
        GpuShare(per_worker=number)


def test_what_replicas_ask_for_by_default_and_by_wish() -> None:
    assert gpus_of("vllm", 4, None) == GpuShare(per_worker=4)
    assert gpus_of("transformers", 1, 0.5) == GpuShare(per_worker=0.5, is_required=True)
    assert gpus_of("openai", 1, None) is None
    with pytest.raises(InputError, match="a server has its own GPUs"):
        gpus_of("openai", 1, 1)
    with pytest.raises(InputError, match="is 1, but --tensor-parallel 2 needs at least 2"):
        gpus_of("vllm", 2, 1)


def test_replicas_that_share_a_gpu_share_its_memory() -> None:
    assert memory_share(None, None) == 0.9
    assert memory_share(None, GpuShare(per_worker=2)) == 0.9
    assert memory_share(None, GpuShare(per_worker=0.5)) == 0.45
    assert memory_share(0.3, GpuShare(per_worker=0.5)) == 0.3


def test_devices_are_those_that_the_environment_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert visible_devices({}) == ["0", "1"]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "3, GPU-x"}) == ["3", "GPU-x"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "3,-1,4"}) == ["3"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "0"}) == []


def test_places_are_given_where_there_are_gpus_and_several_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpus, "visible_devices", lambda: ["4", "5"])
    assert local_places(GpuShare(per_worker=1), 2) == (("4",), ("5",))
    assert local_places(GpuShare(per_worker=1), 1) == ()
    assert local_places(GpuShare(per_worker=1, is_required=True), 1) == (("4",),)
    assert local_places(None, 2) == ()
    with pytest.raises(InputError, match="with room for 1"):
        local_places(GpuShare(per_worker=2), 2)
    monkeypatch.setattr(gpus, "visible_devices", list)
    assert local_places(GpuShare(per_worker=1), 2) == ()
    with pytest.raises(InputError, match="leave out --gpus-per-replica"):
        local_places(GpuShare(per_worker=1, is_required=True), 2)


def test_each_worker_is_a_process_that_sees_its_own_gpus_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)  # the worker's class lies among the tests
    done: list[tuple[str, int]] = []
    run_units(
        UNITS,
        partial(SeeingWorker, tmp_path, 2),
        RuntimeConfig(num_workers=2, places=(("0", "1"), ("2", "3"))),
        lambda unit_id, num_items: done.append((unit_id, num_items)),
    )
    assert sorted(done) == [(unit_id, 3) for unit_id in UNITS]
    found = seen(tmp_path)
    assert {worker["visible"] for worker in found} == {"0,1", "2,3"}
    assert len({worker["pid"] for worker in found}) == 2
    assert os.getpid() not in {worker["pid"] for worker in found}
    assert all(worker["visible_at_import"] == worker["visible"] for worker in found)
    assert not any(worker["torch_at_import"] for worker in found)
    assert {p.name for p in tmp_path.glob("closed-*")} == {f"closed-{w['pid']}" for w in found}


def test_errors_arrive_as_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)
    worker = ProcessWorker(partial(EndingWorker, tmp_path), {})
    try:
        with pytest.raises(OSError, match="No space left") as full:
            worker.run_unit("full")
        assert full.value.errno == errno.ENOSPC
        with pytest.raises(EngineDiedError, match="no device") as dead:
            worker.run_unit("dead")
        assert "in run_unit" in dead.value.__notes__[0]
        with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
            worker.run_unit("odd")
        with pytest.raises(WorkerDiedError, match="died with signal SIGKILL"):
            worker.run_unit("killed")
    finally:
        worker.close()
    assert not (tmp_path / "closed").exists()


def test_a_worker_leaves_its_gpu_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = f"from {hold.__module__} import hold, Path; hold(Path({str(tmp_path)!r}))"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert (tmp_path / "closed").exists()


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_command_refuses_more_replicas_than_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpus, "visible_devices", lambda: ["0", "1"])
    clips = write_clips(tmp_path / "clips", [clip("a")])
    line = ["caption", clips, "--out", str(tmp_path / "out"), "--model", "llava-shapes"]
    line += ["--engine", "transformers", "--replicas", "3"]
    monkeypatch.setattr(sys, "argv", ["mama-augment", *line])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--replicas 3 with 1 GPUs each do not fit: there are 2 GPUs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def cluster_of_two_gpus() -> Iterator[None]:
    """Ray takes our word for its GPUs, and gives them out as if they were there."""
    import ray

    ray.init(num_cpus=5, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster_of_two_gpus")
@pytest.mark.parametrize(("per_worker", "num_shown"), [(0.5, 1), (1, 2)])
def test_ray_shows_each_actor_its_share(tmp_path: Path, per_worker: float, num_shown: int) -> None:
    share = GpuShare(per_worker=per_worker, is_required=True)
    config = RuntimeConfig(runtime="ray", num_workers=2, gpus=share)
    run_units(UNITS, partial(SeeingWorker, tmp_path, 2), config)
    found = seen(tmp_path)
    assert len(found) == len(UNITS)
    assert len({worker["pid"] for worker in found}) == 2
    shown = {worker["visible"] for worker in found}
    assert len(shown) == num_shown
    assert shown <= {"0", "1"}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster_of_two_gpus")
def test_ray_is_not_asked_for_more_than_it_has(tmp_path: Path) -> None:
    for per_worker, num_workers in ((1, 3), (2, 2), (0.5, 5)):
        config = RuntimeConfig(
            runtime="ray", num_workers=num_workers, gpus=GpuShare(per_worker=per_worker)
        )
        with pytest.raises(InputError, match="do not fit: there are 2 GPUs"):
            run_units(UNITS, partial(SeeingWorker, tmp_path, 1), config)
    assert not list(tmp_path.iterdir())
