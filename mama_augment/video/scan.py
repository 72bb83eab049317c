"""One pass over a clip: its change signal, and a bounded reservoir of likely key frames.

The reservoir keeps pictures at output size while the frames go by, so that choosing at the end
needs no second decode: one candidate per small even stretch of the clip, and one behind each of
the strongest changes so far.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from mama_augment.video.luma import SAMPLE_SIZE, FlashFreeChange, sample_luma, sharpness
from mama_augment.video.picture import Image, Scaler

BLOCK_BYTES = 24 * 2**20
"""Decoded frames held at once: small pictures are measured in large blocks, which is cheaper."""
SETTLE_FRAMES = 2
"""A candidate behind a change is this much later: transitions and flashes are over by then."""
LOOKAHEAD_FRAMES = FlashFreeChange.lookahead_frames + SETTLE_FRAMES + 1
STRETCHES_PER_KEY_FRAME = 3
PROBES_PER_STRETCH = 3
CHANGES_PER_KEY_FRAME = 2
LEAST_CHANGE = 2.0
"""Smaller changes (luma levels above ordinary motion) get no candidate of their own."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A frame that is kept at output size."""

    image: Image
    score: float
    """Sharper and stiller is higher."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one pass found. Frames are counted from the first of the clip."""

    pts: list[int]
    change_N: npt.NDArray[np.float64]
    """Mean absolute difference to the frame before, luma levels; flashes taken out."""
    candidates: dict[int, Candidate]


class Scanner:
    """Scans one clip."""

    def __init__(self, scaler: Scaler, *, expected_frames: int, num_wanted: int) -> None:
        self._scaler = scaler
        self._stretch = max(1, expected_frames // (STRETCHES_PER_KEY_FRAME * num_wanted))
        self._max_changes = CHANGES_PER_KEY_FRAME * num_wanted
        self._signal = FlashFreeChange()
        self._pts: list[int] = []
        self._held: list[av.VideoFrame] = []
        self._first_held = 0
        self._probes: list[tuple[int, av.VideoFrame]] = []
        self._even: dict[int, Candidate] = {}
        self._behind_changes: list[tuple[float, int, Candidate]] = []

    def run(self, frames: Iterable[tuple[int, av.VideoFrame]]) -> Scan:
        """Scan (pts, frame) pairs in display order."""
        block_frames = 0
        samples: list[npt.NDArray[np.uint8]] = []
        for pts, frame in frames:
            if not block_frames:
                frame_bytes = max(1, sum(plane.buffer_size for plane in frame.planes))
                block_frames = min(64, max(LOOKAHEAD_FRAMES, BLOCK_BYTES // frame_bytes))
            self._pts.append(pts)
            self._held.append(frame)
            samples.append(sample_luma(frame))
            if len(samples) == block_frames:
                self._measure(samples, is_last=False)
                samples = []
        self._measure(samples, is_last=True)
        self._end_stretch()
        behind = {index: candidate for _, index, candidate in self._behind_changes}
        return Scan(
            pts=self._pts, change_N=self._signal.change_N, candidates={**behind, **self._even}
        )

    def _measure(self, samples: list[npt.NDArray[np.uint8]], *, is_last: bool) -> None:
        """Update the signal, keep candidates, and let go of frames that have been judged."""
        block = np.stack(samples) if samples else np.empty((0, SAMPLE_SIZE), np.uint8)
        self._signal.extend(block, is_last=is_last)
        num_frames = len(self._pts)
        done = num_frames if is_last else max(0, num_frames - LOOKAHEAD_FRAMES)
        for index in self._signal.local_peaks(self._first_held, done, LEAST_CHANGE):
            self._keep_behind(index, min(index + SETTLE_FRAMES, num_frames - 1))
        for index in range(self._first_held, done):
            self._keep_even(index)
        del self._held[: done - self._first_held]
        self._first_held = done

    def _keep_behind(self, change_index: int, index: int) -> None:
        strength = self._signal.excess(change_index)
        kept = self._behind_changes
        if len(kept) < self._max_changes or strength > kept[0][0]:
            candidate = self._candidate(index, self._held[index - self._first_held])
            (heapq.heappushpop if len(kept) == self._max_changes else heapq.heappush)(
                kept, (strength, index, candidate)
            )

    def _keep_even(self, index: int) -> None:
        """Hold the probes of the running stretch; the best of them stays when it ends."""
        offset = index % self._stretch
        if offset == 0:
            self._end_stretch()
        step = max(1, self._stretch // PROBES_PER_STRETCH)
        if offset % step == step // 2 and len(self._probes) < PROBES_PER_STRETCH:
            self._probes.append((index, self._held[index - self._first_held]))

    def _end_stretch(self) -> None:
        if not self._probes:
            return
        index, frame = max(self._probes, key=lambda probe: self._score(*probe))
        self._even[index] = self._candidate(index, frame)
        self._probes = []

    def _candidate(self, index: int, frame: av.VideoFrame) -> Candidate:
        return Candidate(image=self._scaler.rgb(frame), score=self._score(index, frame))

    def _score(self, index: int, frame: av.VideoFrame) -> float:
        return sharpness(frame) / (1.0 + self._signal.at(index))
