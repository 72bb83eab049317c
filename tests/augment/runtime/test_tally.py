from __future__ import annotations

import json
import pickle
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.runtime import tally as module
from mama_augment.runtime.tally import Listener, Tally, deliver


@pytest.mark.parametrize("is_early", [False, True])
@pytest.mark.parametrize("depth", [0, 12])
def test_a_listener_hears_lines_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_early: bool, depth: int
) -> None:
    folder = tmp_path.joinpath(*["long-name"] * depth)  # longer than a socket's address may be
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    told: list[int] = []
    tally = Tally(told.append)
    listener = Listener()
    with socket.socket(socket.AF_UNIX) as worker:
        worker.connect(listener.address)
        worker.sendall(json.dumps([tally.name, {"a": 3}]).encode() + b'\n["cut sho')
        if is_early:
            listener.close(is_early=True)
    if not is_early:
        listener.close()
        assert told == [3]
    assert not Path(listener.address).parent.exists()
    assert not list(folder.glob("mama-augment-*"))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=60))
def test_what_comes_twice_counts_once(counts: list[tuple[str, int]]) -> None:
    told: list[int] = []
    tally = Tally(told.append)
    for unit_id, num_done in counts:
        tally(unit_id, num_done)
    most = {u: max(n for v, n in counts if v == u) for u, _ in counts}
    assert sum(told) == sum(most.values())
    assert all(number > 0 for number in told)


def test_a_copy_elsewhere_tells_now_and_then_and_when_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[str, dict[str, int]]] = []
    monkeypatch.setattr(module, "_channel", [lambda name, counts: sent.append((name, counts))])
    told: list[int] = []
    tally = Tally(told.append)
    copy = pickle.loads(pickle.dumps(tally))
    for number in range(1, 1001):
        copy("a", number)
    copy.flush()
    assert 1 <= len(sent) < 100
    assert (sent[-1], told) == ((tally.name, {"a": 1000}), [])
    for name, counts in sent:
        deliver(name, counts)
    assert sum(told) == 1000
    copy.flush()
    assert sent[-1][1] == {"a": 1000}  # nothing new is nothing told
    deliver("a tally that is gone", {"a": 5})
