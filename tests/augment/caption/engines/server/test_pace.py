"""How many at once: halved when it was too much, one more when it went well, the same for all."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.caption.engines.server.pace import (
    FIRST_PAUSE_SECONDS,
    MAX_PAUSE_SECONDS,
    MOST_WAIT_SECONDS,
    Pace,
    Time,
)
from mama_augment.caption.engines.server.refusals import seconds_to_wait
from mama_augment.core.errors import StoppedError
from tests.augment.server_engine import FakeTime


def pace_of(most: int, clock: Time | None = None) -> Pace:
    pace = Pace(clock or FakeTime())
    pace.widen(most)
    return pace


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 64))
def test_the_limit_stays_between_one_and_the_most(were_well: list[bool], most: int) -> None:
    clock = FakeTime()
    pace = pace_of(most, clock)
    for was_well in were_well:
        clock.passed += 1
        before, pace.num_running = pace.limit, int(pace.limit)
        if was_well:
            pace.went_well()
            assert before <= pace.limit <= before + 1
        else:
            pace.was_too_much(clock.now(), None)
            assert pace.limit == max(1.0, int(before) / 2)
        assert 1 <= pace.limit <= most


def test_a_round_that_goes_well_makes_room_for_one_more() -> None:
    clock = FakeTime()
    pace = pace_of(32, clock)
    pace.num_running, clock.passed = 32, 1.0
    pace.was_too_much(1.0, None)
    assert pace.limit == 16
    for _ in range(16):
        pace.went_well()
    assert 16.9 < pace.limit <= 17


def test_requests_that_were_under_way_at_a_cut_cut_nothing_more() -> None:
    clock = FakeTime()
    pace = pace_of(64, clock)
    clock.passed, pace.num_running = 5.0, 64
    for _ in range(64):  # one burst, answered at once
        pace.was_too_much(4.0, None)
    assert pace.limit == 32


def test_pauses_grow_while_it_stays_too_much_and_begin_anew_when_it_went_well() -> None:
    async def pauses(outcomes: str) -> list[float]:
        clock = FakeTime()
        pace = pace_of(1, clock)
        for outcome in outcomes:
            async with pace.turn() as began:
                clock.passed += 0.1
                pace.went_well() if outcome == "+" else pace.was_too_much(began, None)
        return [round(pause, 6) for pause in clock.pauses]

    found = asyncio.run(pauses("-------- +".replace(" ", "") + "-+"))
    assert found == [0.5, 1, 2, 4, 8, 16, 30, 30, 0.5]
    assert (found[0], max(found)) == (FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)


def test_the_servers_own_time_holds_everybody_back() -> None:
    async def waited() -> list[float]:
        clock = FakeTime()
        pace = pace_of(3, clock)
        async with pace.turn() as began:
            clock.passed += 1.0
            pace.was_too_much(began, 20.0)
        entered = []

        async def enter() -> None:
            async with pace.turn() as now:
                entered.append(now)

        await asyncio.gather(*(enter() for _ in range(3)))
        return entered

    assert all(now == pytest.approx(1 + 20 * 1.1) for now in asyncio.run(waited()))


def test_jitter_spreads_a_pause_over_half_of_it() -> None:
    found = [Time().jittered(2.0) for _ in range(200)]
    assert 1.0 <= min(found) < 1.2
    assert 1.8 < max(found) <= 2.0


def test_nobody_waits_for_hours() -> None:
    pace = pace_of(1)
    with pytest.raises(StoppedError, match=r"1\.1 hours"):
        pace.was_too_much(0.0, 1.1 * MOST_WAIT_SECONDS)


def test_never_more_than_the_limit_are_inside_and_everybody_gets_in() -> None:
    async def run() -> tuple[int, int]:
        pace, inside, most, entered = pace_of(5), 0, 0, 0

        async def enter(number: int) -> None:
            nonlocal inside, most, entered
            async with pace.turn():
                inside += 1
                most, entered = max(most, inside), entered + 1
                await asyncio.sleep(0)
                inside -= 1
            pace.went_well()

        tasks = [asyncio.create_task(enter(i)) for i in range(200)]
        await asyncio.sleep(0)
        for task in tasks[5:200:7]:
            task.cancel()  # a stream that is given up hands its places on
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        return most, entered

    most, entered = asyncio.run(run())
    assert most == 5
    assert entered == 200 - len(range(5, 200, 7))


@pytest.mark.parametrize(
    ("said", "expected"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("soon", None), ("nan", None),
     ("inf", None), ("Tue, 99 Feb 2026", None), ("9" * 400, None)],
)  # fmt: skip
def test_seconds_to_wait(said: str, expected: float | None) -> None:
    assert seconds_to_wait({"Retry-After": said}) == expected


def test_a_date_to_wait_for_is_read_on_the_servers_own_clock() -> None:
    fast = time.time() + 86400  # the server's clock is a day ahead
    headers: dict[str, Any] = {"Retry-After": formatdate(fast + 90, usegmt=True)}
    headers["Date"] = formatdate(fast, usegmt=True)
    assert seconds_to_wait(headers) == 90
    headers = {"Retry-After": formatdate(time.time() + 90, usegmt=True)}
    assert seconds_to_wait(headers) == pytest.approx(90, abs=2)
    assert seconds_to_wait({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
