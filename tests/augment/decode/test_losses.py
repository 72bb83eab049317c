"""Frames that come without a time, and those that do not come."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.decode.losses import Bits
from mama_augment.decode.order import UNKNOWN, display_places


@given(st.integers(1, 60), st.integers(0, 4), st.randoms(use_true_random=False), st.data())
def test_certain_places_are_right(groups: int, depth: int, rng, data: st.DataObject) -> None:
    """Random local reordering, random losses: whatever place is given is the true one."""
    num_packets = groups * 3
    shown = sorted(range(num_packets), key=lambda p: p + rng.uniform(0, depth))
    place_of = {packet: place for place, packet in enumerate(shown)}
    lost = set(data.draw(st.lists(st.integers(0, num_packets - 1), max_size=4)))
    out = [packet for packet in shown if packet not in lost]
    places = display_places(out, num_packets)
    # How far frames move can be seen only from those that came out.
    moved_all = max(abs(place_of[p] - p) for p in range(num_packets))
    ranks = np.argsort(np.argsort(out)) if out else np.zeros(0, int)
    moved_seen = int(np.abs(ranks - np.arange(len(out))).max()) if out else 0
    if moved_seen >= moved_all:
        certain = {p: places[p] for p in out if places[p] != UNKNOWN}
        assert all(place_of[packet] == place for packet, place in certain.items())
    if not lost:
        assert [places[p] for p in out] == list(range(num_packets))


def test_without_reordering_nothing_is_uncertain() -> None:
    assert display_places([0, 1, 4, 5], 6).tolist() == [0, 1, UNKNOWN, UNKNOWN, 4, 5]


def test_packets_that_come_twice_leave_nothing_certain() -> None:
    assert display_places([0, 1, 1], 4).tolist() == [UNKNOWN] * 4


def test_exp_golomb_numbers() -> None:
    # 1 | 010 | 011 | 00100 | 00101 0000
    bits = Bits(bytes([0b10100110, 0b01000010, 0b10000000]))
    assert [bits.golomb() for _ in range(5)] == [0, 1, 2, 3, 4]
