"""Two processes train to the same parameters as one with the same global batch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mama_train.run.checkpoint import find_checkpoint, load_progress
from mama_train.run.device import torch_device
from mama_train.run.history import read_history
from tests.train.questions_helper import write_question_shards
from tests.train.shards_helper import write_shards

WORKER = Path(__file__).with_name("rank_worker.py")


def parameters(shards: Path, out: Path, world: int, settings: dict[str, Any]) -> list[Any]:
    """Each rank's parameters after five steps."""
    out.mkdir()
    work = [
        subprocess.Popen(
            [
                sys.executable,
                str(WORKER),
                *map(str, (shards, out, rank, world, out / "rendezvous", json.dumps(settings))),
            ]
        )
        for rank in range(world)
    ]
    assert [p.wait(timeout=300) for p in work] == [0] * world
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "rows_per_pass": 2,
            "normalised": False,
            "weight_output": "sigmoid",
            "lagged": True,
            "clip_norm": 0.05,
        },
        {"rows_per_pass": 2, "clip_norm": 0.05, "meta_every": 1},
    ],
)
def test_two_processes_equal_one(tmp_path: Path, more: dict[str, Any]) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 20, "meta": 9})
    settings = {
        "batch_size": 7,
        "meta_batch_size": 5,
        "steps": 5,
        "num_frames": 2,
        "warmup": 0.0,
        **more,
    }
    (one,) = parameters(shards, tmp_path / "one", 1, settings)
    two = parameters(shards, tmp_path / "two", 2, settings)
    for name, expected in one.items():
        assert torch.equal(two[0][name], two[1][name]), name
        # A sigmoid's bias has a gradient of 0 in the first step, where AdamW does not feel the
        # gradient's size: V's optimizer makes steps of what rounding leaves.
        tolerance = 1e-5 if name == "net.out.bias" else 1e-8
        torch.testing.assert_close(two[0][name], expected, rtol=0, atol=tolerance, msg=name)
    meta = [torch.load(tmp_path / f, weights_only=True) for f in ("one/meta0.pt", "two/meta1.pt")]
    steps = list(zip(*meta, strict=True))
    for alone, together in steps if "net.out.bias" not in one else steps[:1]:
        # The first step of all is among them: AdamW's moments are still zero there.
        expected = alone["unrolled"]
        # Two processes add gradients in another order. In its first step AdamW divides each by its
        # own size, so that what rounding leaves of the smallest ones grows.
        for found, bound in ((alone["exact"], 1e-10), (together["exact"], 1e-9)):
            assert float((found - expected).norm() / expected.norm()) < bound
    start = torch.zeros_like(one["net.out.weight"])
    assert not torch.equal(one["net.out.weight"], start)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{"task": "qa-open", "qa_answers": 8}, {"task": "qa-choice", "rows_per_pass": 2}]
)
def test_two_processes_learn_to_answer_as_one_does(tmp_path: Path, more: dict[str, Any]) -> None:
    shards = write_question_shards(tmp_path / "shards", {"train": 20, "meta": 9})
    settings = {"batch_size": 7, "meta_batch_size": 5, "meta_every": 1, "num_frames": 2, **more}
    (one,) = parameters(shards, tmp_path / "one", 1, settings)
    two = parameters(shards, tmp_path / "two", 2, settings)
    assert any(name.startswith("answer_head.") for name in one)
    for name, expected in one.items():
        assert torch.equal(two[0][name], two[1][name]), name
        torch.testing.assert_close(two[0][name], expected, rtol=0, atol=1e-7, msg=name)
    alone = torch.load(tmp_path / "one/meta0.pt", weights_only=True)
    for step in alone:
        error = (step["exact"] - step["unrolled"]).norm() / step["unrolled"].norm()
        assert float(error) < 1e-8


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", "cpu"), ("cuda", "cuda:3"), ("cuda:1", "cuda:1")]
)
def test_each_process_of_a_machine_has_its_own_gpu(
    device: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The check that there is a GPU is another's; only which one is asked here.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert str(torch_device(device)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"rows_per_pass": 2}])
def test_captions_that_do_not_fill_batches_leave_no_process_without_rows(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """15 captions in batches of 7, and 9 in meta batches of 4: a rest of one in both."""
    shards = write_shards(tmp_path / "shards", {"train": 15, "meta": 9}, captions_per_clip=1)
    settings = {"batch_size": 7, "meta_batch_size": 4, "meta_every": 1, "steps": 5, **more}
    two = parameters(shards, tmp_path / "two", 2, {"num_frames": 2, "clip_norm": 0.05, **settings})
    assert all(torch.equal(two[0][name], two[1][name]) for name in two[0])
    meta = torch.load(tmp_path / "two" / "meta0.pt", weights_only=True)
    assert len(meta) == 5


@pytest.mark.slow
def test_interrupting_one_rank_stops_all_after_the_same_step(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", {"train": 20, "meta": 9})
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "mama_train", "run", str(shards), "--out", str(run),
        "--steps", "100000", "--batch-size", "6", "--set=num_frames=2", "--set=tensorboard=false",
        "--set=save_every=5",
    ]  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    work = [
        subprocess.Popen(command, env=shared | {"RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(2)
    ]
    try:
        while not read_history(run):
            assert [p.poll() for p in work] == [None, None]
            time.sleep(0.05)
        work[1].send_signal(signal.SIGINT)
        assert [p.wait(timeout=60) for p in work] == [130, 130]
    finally:
        for process in work:
            process.kill()
    progress, _ = load_progress(find_checkpoint(str(run), which="last"))
    assert read_history(run)[-1]["step"] == progress.step
