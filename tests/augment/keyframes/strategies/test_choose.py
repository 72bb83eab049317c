"""Choosing frames: exactly as many as asked for, every strong change seen, nothing twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.decode.runs import needed_runs
from mama_augment.keyframes.strategies import choose as keyframes
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.keyframes.strategies.packet_signal import choose_by_packets, find_packet_peaks

CONFIG = KeyFrameConfig()
num_frames = st.integers(1, 400)
num_wanted = st.integers(1, 40)


def signal_with(peaks: dict[int, float], length: int = 300, noise: float = 0.5) -> np.ndarray:
    change = np.random.default_rng(0).uniform(0, noise, length)
    for index, height in peaks.items():
        change[index] += height
    return change


def test_peaks_come_strongest_first_after_the_start() -> None:
    change = signal_with({40: 20, 100: 60, 101: 30, 250: 40})
    # 101 is too close to 100 to be another shot.
    assert keyframes.find_peaks(change, CONFIG) == [0, 100, 250, 40]


def test_fast_motion_is_baseline_not_peaks() -> None:
    change = signal_with({200: 30})
    change[50:120] += 30
    assert keyframes.find_peaks(change, CONFIG) == [0, 200]


def test_a_cut_inside_fast_motion_is_a_peak_still() -> None:
    change = signal_with({80: 25})
    change[50:120] += 30
    assert keyframes.find_peaks(change, CONFIG) == [0, 80]


def test_a_still_clip_has_its_start_only() -> None:
    assert keyframes.find_peaks(signal_with({}, noise=1.0), CONFIG) == [0]
    assert keyframes.find_peaks(np.zeros(1), CONFIG) == [0]
    assert keyframes.find_peaks(np.zeros(0), CONFIG) == []


def test_more_peaks_than_wanted_keeps_the_strongest() -> None:
    assert keyframes.cut_at_peaks([0, 100, 250, 40], 300, 3) == [(0, 100), (100, 250), (250, 300)]


def test_what_is_left_goes_to_the_longest_shots_evenly() -> None:
    shots = [(0, 10), (10, 110), (110, 160)]
    assert keyframes.allot(shots, 6) == [
        (0, 10), (10, 43), (43, 76), (76, 110), (110, 135), (135, 160),
    ]  # fmt: skip


@given(num_frames, num_wanted, st.data())
def test_segments_are_exactly_as_many_as_asked_for(
    length: int, wanted: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(1, max(1, length - 1)), max_size=30, unique=True))
    peaks = [0, *(cut for cut in cuts if cut < length)]
    shots = keyframes.cut_at_peaks(peaks, length, wanted)
    segments = keyframes.allot(shots, wanted)
    assert len(segments) == min(wanted, length)
    assert segments[0][0] == 0
    assert segments[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(segments))
    assert all(start < end for start, end in segments)
    for start, end in shots:
        assert any(start <= s and e <= end for s, e in segments), "every shot has a frame"


@given(num_frames, num_wanted)
def test_uniform_is_exact_distinct_and_even(length: int, wanted: int) -> None:
    chosen = keyframes.choose_uniform(length, wanted)
    assert len(set(chosen)) == min(length, wanted)
    assert chosen == sorted(chosen)
    gaps = np.diff(chosen)
    assert not len(gaps) or gaps.max() - gaps.min() <= 2


@given(num_frames, num_wanted, st.data())
def test_iframes_are_exact_and_intra_where_there_are_enough(
    length: int, wanted: int, data: st.DataObject
) -> None:
    is_key = np.array(data.draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    chosen = keyframes.choose_iframes(is_key, wanted)
    assert len(set(chosen)) == min(length, wanted)
    assert chosen == sorted(chosen)
    assert is_key[chosen].sum() == min(wanted, is_key.sum())


@given(num_frames, num_wanted, st.data())
def test_packets_are_exact_whatever_the_sizes(
    length: int, wanted: int, data: st.DataObject
) -> None:
    def draw(elements: st.SearchStrategy) -> np.ndarray:
        return np.array(data.draw(st.lists(elements, min_size=length, max_size=length)))

    sizes, is_key, is_forward = (
        draw(st.integers(1, 10**6)),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    peaks = find_packet_peaks(sizes, is_key, is_forward, least_distance=4)
    shots = keyframes.cut_at_peaks(peaks, length, wanted)
    cost = np.arange(length) - np.maximum.accumulate(np.where(is_key, np.arange(length), 0)) + 1
    chosen = choose_by_packets(shots, is_key, cost, wanted)
    assert len(set(chosen)) == min(length, wanted)
    assert chosen == sorted(chosen)


def test_packets_see_an_early_intra_frame_and_a_large_forward_frame() -> None:
    sizes = np.full(120, 1000)
    is_key = np.zeros(120, bool)
    is_key[[0, 30, 60, 70, 100]] = True
    sizes[is_key] = 9000
    sizes[45] = 8000
    peaks = find_packet_peaks(sizes, is_key, np.ones(120, bool), least_distance=4)
    # 70 came early; 30, 60 and 100 were due.
    assert peaks == [0, 70, 45]


class TestNeededRuns:
    """Groups of pictures as decoders see them."""

    @given(st.data())
    def test_every_wanted_frame_gets_its_group_once_in_order(self, data: st.DataObject) -> None:
        length = data.draw(st.integers(1, 80))
        is_key = np.array(data.draw(st.lists(st.booleans(), min_size=length, max_size=length)))
        is_key[0] = True
        wanted = data.draw(st.sets(st.integers(0, length - 1), min_size=1))
        runs = needed_runs(np.arange(length), is_key, wanted)
        fed = [p for run in runs for p in range(run.first, run.last + 1)]
        assert len(fed) == len(set(fed)) <= length
        assert fed == sorted(fed)
        assert wanted <= set(fed)
        assert all(is_key[run.first] and run.last in wanted for run in runs)
        assert all(a.last + 1 < b.first for a, b in pairwise(runs)), "touching runs are one"

    def test_a_leading_picture_needs_the_group_before(self) -> None:
        # Decode order: I0 P3 B1 B2 | I6 B4 B5: the second group is open.
        pts = np.array([0, 3, 1, 2, 6, 4, 5])
        is_key = np.array([1, 0, 0, 0, 1, 0, 0], bool)
        assert [(r.first, r.last) for r in needed_runs(pts, is_key, [5])] == [(0, 5)]
        assert [(r.first, r.last) for r in needed_runs(pts, is_key, [4])] == [(4, 4)]
        assert [(r.first, r.last) for r in needed_runs(pts, is_key, [0, 4, 6])] == [(0, 6)]


def test_candidates_are_taken_from_the_middle_of_their_segment_by_score() -> None:
    index = np.array([0, 9, 10, 14, 15, 16, 19, 30])
    score = np.array([9.0, 9, 9, 1, 2, 1.5, 9, 4])
    assert keyframes.choose_candidates([(0, 10), (10, 20), (20, 29)], index, score) == [0, 15, None]


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(InputError, match="--num-frames is 0; a finite number above 0"):
        KeyFrameConfig(num_frames=0)
    with pytest.raises(InputError, match="'best'; allowed: peaks, packets, iframes, uniform, auto"):
        KeyFrameConfig(strategy="best")


@given(num_frames, num_wanted, st.integers(1, 300), st.data())
def test_a_sampled_scan_looks_at_as_many_as_it_may_and_needs(
    length: int, wanted: int, at_most: int, data: st.DataObject
) -> None:
    is_key = np.array(data.draw(st.lists(st.booleans(), min_size=length, max_size=length)))
    config = KeyFrameConfig(num_frames=wanted, max_frames_scanned=at_most)
    scanned = keyframes.choose_scanned(is_key, config, fps=25.0)
    if scanned is None:
        assert length <= max(at_most, wanted)
        return
    assert len(set(scanned)) == max(at_most, wanted)
    assert scanned == sorted(scanned)
    assert 0 <= scanned[0] <= scanned[-1] < length


def test_a_sampled_scan_prefers_intra_frames_that_are_near() -> None:
    is_key = np.arange(1000) % 50 == 0
    config = KeyFrameConfig(sample_fps=0.5, num_frames=4)
    scanned = keyframes.choose_scanned(is_key, config, fps=25.0)
    assert scanned is not None
    assert len(scanned) == 20
    assert is_key[scanned].all()
