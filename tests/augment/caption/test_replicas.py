"""Replicas side by side: groups that shrink, and a killed one that costs nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.caption.config import Replicas
from mama_augment.caption.engines import EngineConfig, check_here
from mama_augment.caption.engines.base import CaptionRequest, Result
from mama_augment.caption.settle import replicas_on
from mama_augment.caption.step import Caption, group_units
from mama_augment.core.errors import InputError
from mama_augment.core.step import run
from mama_augment.core.store.audit import audit
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig, gpus
from mama_augment.runtime.gpus import GpuShare
from tests.augment.caption.test_kill import REPOSITORY, noise_clips
from tests.augment.caption.test_step import SETTINGS
from tests.augment.scripted_engine import Script, ScriptedEngine, start_plain

NUM_CLIPS = 60


class Slow(ScriptedEngine):
    """Takes its time, and notes the process that it runs in."""

    def generate(
        self, requests: Iterable[CaptionRequest]
    ) -> Generator[tuple[str, Result], None, None]:
        Path(os.environ["PIDS"], str(os.getpid())).touch()
        for each in super().generate(requests):
            time.sleep(0.03)
            yield each


def start_slow(config: EngineConfig) -> Slow:
    return Slow(config, Script())


class Counting:
    """A teller that adds up what it is told."""

    def __init__(self) -> None:
        self.total, self.told = 0, list[int]()

    def phase(self, text: str) -> None:
        """Not looked at."""

    def progress(
        self, name: str, num_total: int, num_done: int = 0
    ) -> AbstractContextManager[Callable[[int], None]]:
        self.total = num_total - num_done
        return nullcontext(self.told.append)


def test_a_killed_replica_costs_no_caption_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY)
    pids = tmp_path / "pids"
    pids.mkdir()
    monkeypatch.setenv("PIDS", str(pids))
    clips = noise_clips(tmp_path / "clips", NUM_CLIPS, rows_per_unit=5)
    engine = EngineConfig(name="transformers", model="none", max_in_flight=4)
    runtime = RuntimeConfig(num_workers=2, places=(("0",), ("1",)))
    out, calm, teller = tmp_path / "out", tmp_path / "calm", Counting()
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while len(list(pids.iterdir())) < 2 or sum(teller.told) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed.append(int(min(pids.iterdir()).name))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    step = Caption(clips, SETTINGS, engine, runtime, start_engine=start_slow)
    outcome = run(step, StepOutput(str(out)), runtime, teller)
    killer.join()
    assert len(list(pids.iterdir())) == 3  # two, and one in the place of the dead
    assert (outcome.exit_code, outcome.ledger.num_ok, outcome.num_done) == (0, NUM_CLIPS, NUM_CLIPS)
    assert sum(teller.told) == teller.total == NUM_CLIPS
    assert len(teller.told) > NUM_CLIPS // 5  # captions, not units
    assert audit(StepDir.open(str(out)), deep=True).is_well
    one = RuntimeConfig(num_workers=1)
    run(Caption(clips, SETTINGS, engine, one, start_engine=start_plain), StepOutput(str(calm)), one)
    made, expected = (StepDir.open(str(p)).input_fingerprint() for p in (out, calm))
    assert made == expected  # the same bytes, unit by unit


@given(st.integers(0, 3000), st.integers(2, 64))
def test_groups_hold_every_unit_once_in_order_and_shrink(number: int, num_workers: int) -> None:
    todo = [f"{i:05d}" for i in range(number)]
    groups = list(group_units(todo, RuntimeConfig(num_workers=num_workers)).values())
    assert [unit for group in groups for unit in group] == todo
    sizes = [len(group) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-num_workers:] == [1] * min(num_workers, len(sizes))
    if sizes:
        assert sizes[0] <= max(1, number // (4 * num_workers))


@pytest.mark.parametrize(("text", "expected"), [("3", (3, 3)), ("1:8", (1, 8)), ("4:4", (4, 4))])
def test_numbers_of_replicas(text: str, expected: tuple[int, int]) -> None:
    found = Replicas.parse(text)
    assert (found.least, found.most) == expected


@pytest.mark.parametrize("text", ["0", "8:1", "x", "1:", ":3", "1:2:3", "-1", "0:4"])
def test_numbers_that_cannot_be(text: str) -> None:
    with pytest.raises(InputError, match="--replicas is"):
        Replicas.parse(text)


@pytest.mark.parametrize(
    ("devices", "share", "expected"),
    [
        (3, GpuShare(per_worker=1), 3),
        (12, GpuShare(per_worker=1), 8),
        (0, GpuShare(per_worker=1), 1),
        (2, GpuShare(per_worker=0.5), 4),
        (0, None, 8),
    ],
)
def test_a_range_settles_by_the_room_there_is(
    devices: int, share: GpuShare | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(i) for i in range(devices)]
    monkeypatch.setattr(gpus, "visible_devices", lambda: names)
    monkeypatch.setattr("mama_augment.caption.settle.visible_devices", lambda: names)
    settled = replicas_on(RuntimeConfig(num_workers=1), share, Replicas(least=1, most=8))
    assert settled.num_workers == expected
    on_ray = replicas_on(RuntimeConfig(runtime="ray"), share, Replicas(least=1, most=8))
    assert (on_ray.least_workers, on_ray.num_workers) == (1, 8)


def test_a_model_that_is_not_on_this_machine_is_named_with_it(tmp_path: Path) -> None:
    config = EngineConfig(name="transformers", model=str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"absent' is not there on \S+"):
        check_here(config)
    check_here(EngineConfig(name="transformers", model=str(tmp_path)))
    check_here(EngineConfig(name="openai", model="/served/name"))
