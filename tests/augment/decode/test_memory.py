"""Memory grows by a few bytes per frame: an hour of video costs a few megabytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mama_augment.decode import packets
from mama_augment.decode.config import LimitsConfig, Span
from mama_augment.decode.frames.reader import ClipReader
from mama_augment.decode.picture.luma import SAMPLE_SIZE, FlashFreeChange
from mama_augment.decode.source import open_video
from mama_augment.keyframes.strategies.choose import find_peaks, running_median
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from tests.augment.numbered import write_numbered

NUM_FRAMES = 4000


def peak_bytes(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_index_and_the_reading_of_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = np.zeros((32, 48, 3), np.uint8)
    path = write_numbered(
        tmp_path / "long.mp4",
        NUM_FRAMES,
        size=(48, 32),
        pictures=[black] * NUM_FRAMES,
        options={"preset": "ultrafast"},
    )
    np.unique(np.zeros(3))  # imports on first use
    monkeypatch.setattr(packets, "KEEP_BYTES", 0)
    with open_video(str(path), LimitsConfig(), num_threads=1) as video:
        indexed = []
        peak = peak_bytes(lambda: indexed.append(packets.index_packets(video)))
        assert len(indexed[0]) == NUM_FRAMES
        assert peak < 120 * NUM_FRAMES
    with open_video(str(path), LimitsConfig(), num_threads=1) as video:
        reader = ClipReader(video, Span())
        frames: Any = reader.frames()
        assert peak_bytes(lambda: next(frames)) < 60 * NUM_FRAMES
        frames.close()


def test_the_signal_and_its_peaks() -> None:
    signal = FlashFreeChange()
    block = np.zeros((16, SAMPLE_SIZE), np.uint8)
    num_blocks = 2000

    def extend() -> None:
        for _ in range(num_blocks):
            signal.extend(block, is_last=False)

    assert peak_bytes(extend) < 14 * 16 * num_blocks + 200_000
    change_N = np.random.default_rng(0).random(100_000)
    change_N[500::1000] = 90
    running_median(change_N[:9], 3)  # imports on first use
    assert peak_bytes(lambda: find_peaks(change_N, KeyFrameConfig())) < 80 * len(change_N)


def test_the_running_median_is_the_median_of_each_window() -> None:
    signal_N = np.random.default_rng(0).random(1000)
    padded = np.pad(signal_N, 15, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 31)
    assert np.array_equal(running_median(signal_N, 31), np.median(windows, axis=1))
    assert running_median(signal_N[:1], 31).tolist() == signal_N[:1].tolist()
