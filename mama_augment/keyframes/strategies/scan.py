"""One pass over a clip: its change signal, and a bounded reservoir of likely key frames.

The reservoir keeps pictures at output size while the frames go by, so that choosing at the end
needs no second decode: one candidate per small even stretch of the clip, and one behind each of
the strongest changes so far.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mama_augment.decode.frames.reader import DEFAULT_FPS, ClipReader, IndexedFrame
from mama_augment.decode.picture.luma import SAMPLE_SIZE, FlashFreeChange, sample_luma, sharpness
from mama_augment.decode.picture.scaler import Frame, Scaler
from mama_augment.keyframes.strategies.choose import (
    allot,
    choose_candidates,
    choose_scanned,
    cut_at_peaks,
    middles,
)
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.keyframes.strategies.reservoir import Candidate, Reservoir, frame_bytes

BLOCK_FRAMES, BLOCK_BYTES = 16, 16 * 2**20
"""Frames are measured in blocks, which is cheaper; larger ones fall out of the caches."""
SETTLE_FRAMES = 2
"""A candidate behind a change is this much later: transitions and flashes are over by then."""
LOOKAHEAD_FRAMES = FlashFreeChange.lookahead_frames + SETTLE_FRAMES + 1
STRETCHES_PER_KEY_FRAME = 3
PROBES_PER_STRETCH = 2
LEAST_FRAMES_PER_PROBE = 8
"""Nearer frames look the same; in short stretches one probe is enough."""
CHANGES_PER_KEY_FRAME = 2
LEAST_CHANGE = 2.0
"""Smaller changes (luma levels above ordinary motion) get no candidate of their own."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one pass found."""

    frame_index: array[int]
    """Index in the clip of each scanned frame; other positions below count scanned frames."""
    pts: array[int]
    change_N: npt.NDArray[np.float64]
    """Mean absolute difference to the frame before, luma levels; flashes taken out."""
    candidates: dict[int, Candidate]

    @property
    def is_whole(self) -> bool:
        """Whether no frame of the clip was passed over."""
        return np.array_equal(self.frame_index, np.arange(len(self.frame_index)))

    def best(self, peaks: Sequence[int], num_wanted: int) -> list[int]:
        """Clip indices of one frame for each of `num_wanted` even parts of the shots between peaks.

        A part without a candidate gives its middle, whose picture is still to be fetched.

        Args:
            peaks: positions among the scanned frames at which shots start, strongest first.
        """
        shots = cut_at_peaks(peaks, len(self.pts), num_wanted)
        segments = allot(shots, num_wanted)
        positions = np.array(sorted(self.candidates), np.int64)
        scores = np.array([self.candidates[i].score for i in positions.tolist()])
        picked = choose_candidates(segments, positions, scores)
        places = zip(picked, middles(segments), strict=True)
        return [self.frame_index[m if p is None else p] for p, m in places]


def scan_clip(
    reader: ClipReader, scaler: Scaler, config: KeyFrameConfig, *, num_wanted: int
) -> Scan:
    """Scan a clip, or as many of its frames as `config` has a scan look at.

    num_wanted: how many frames are to be chosen, which decides how many candidates are kept.
    """
    sample = choose_scanned(reader.is_key, config, reader.fps or DEFAULT_FPS)
    expected_frames = reader.num_indexed if sample is None else len(sample)

    def scan() -> Scan:
        scanner = Scanner(scaler, expected_frames=expected_frames, num_wanted=num_wanted)
        return scanner.run(reader.frames() if sample is None else reader.fetch(sample))

    found = scan()
    return scan() if reader.settle() else found


class Scanner:
    """Scans one clip."""

    def __init__(self, scaler: Scaler, *, expected_frames: int, num_wanted: int) -> None:
        self._stretch = max(1, expected_frames // (STRETCHES_PER_KEY_FRAME * num_wanted))
        self._max_changes = CHANGES_PER_KEY_FRAME * num_wanted
        self._signal = FlashFreeChange()
        self._reservoir = Reservoir(scaler)
        # Not lists: these grow with the clip.
        self._frame_index, self._pts = array("q"), array("q")
        self._held: list[Frame] = []
        self._first_held = 0
        self._probes: list[tuple[float, int, Frame]] = []
        self._behind: tuple[float, int, Frame] | None = None
        self._strongest: list[tuple[float, int]] = []

    def run(self, frames: Iterable[IndexedFrame]) -> Scan:
        """Scan frames in display order."""
        block_frames = 0
        samples: list[npt.NDArray[np.uint8]] = []
        for index, pts, frame in frames:
            if not block_frames:
                block_frames = min(
                    BLOCK_FRAMES, max(LOOKAHEAD_FRAMES, BLOCK_BYTES // frame_bytes(frame))
                )
            self._frame_index.append(index)
            self._pts.append(pts)
            self._held.append(frame)
            samples.append(sample_luma(frame))
            if len(samples) == block_frames:
                self._measure(samples, is_last=False)
                samples = []
        self._measure(samples, is_last=True)
        self._end_stretch()
        self._keep_behind()
        return Scan(
            frame_index=self._frame_index,
            pts=self._pts,
            change_N=self._signal.change_N,
            candidates=self._reservoir.candidates,
        )

    def _measure(self, samples: list[npt.NDArray[np.uint8]], *, is_last: bool) -> None:
        """Update the signal, keep candidates, and let go of frames that have been judged."""
        block = np.stack(samples) if samples else np.empty((0, SAMPLE_SIZE), np.uint8)
        self._signal.extend(block, is_last=is_last)
        num_frames = len(self._pts)
        done = num_frames if is_last else max(0, num_frames - LOOKAHEAD_FRAMES)
        events = [(index, True) for index in self._probe_indices(self._first_held, done)]
        peaks = self._signal.local_peaks(self._first_held, done, LEAST_CHANGE)
        events += [(index, False) for index in peaks]
        for index, is_probe in sorted(events):
            if is_probe:
                self._see_probe(index)
            else:
                self._see_change(index, min(index + SETTLE_FRAMES, num_frames - 1))
        del self._held[: done - self._first_held]
        self._first_held = done

    def _see_change(self, change_index: int, index: int) -> None:
        """A new shot, perhaps: keep a frame of it until an even candidate lies in it, too."""
        self._keep_behind()
        strength = self._signal.excess(change_index)
        frame = self._held[index - self._first_held]
        self._behind = (strength, index, frame)

    def _keep_behind(self) -> None:
        """The shot since the last change got no even candidate: keep its own."""
        if self._behind is None:
            return
        strength, index, frame = self._behind
        self._behind = None
        if len(self._strongest) == self._max_changes:
            if strength <= self._strongest[0][0]:
                return
            self._reservoir.drop(heapq.heappop(self._strongest)[1])
        heapq.heappush(self._strongest, (strength, index))
        self._reservoir.keep(index, frame, self._score(index, frame))

    def _probe_indices(self, start: int, end: int) -> list[int]:
        """Where to look for a candidate: PROBES_PER_STRETCH in every stretch, evenly."""
        num_probes = min(PROBES_PER_STRETCH, max(1, self._stretch // LEAST_FRAMES_PER_PROBE))
        step = self._stretch // num_probes
        offsets = range(step // 2, step * num_probes, step)
        first = start - start % self._stretch
        stretches = range(first, end, self._stretch)
        return [at + offset for at in stretches for offset in offsets if start <= at + offset < end]

    def _see_probe(self, index: int) -> None:
        """Hold the probes of the running stretch; the best of them stays when it ends."""
        if self._probes and index // self._stretch != self._probes[-1][1] // self._stretch:
            self._end_stretch()
        frame = self._held[index - self._first_held]
        self._probes.append((self._score(index, frame), index, frame))

    def _end_stretch(self) -> None:
        if not self._probes:
            return
        score, index, frame = max(self._probes, key=lambda probe: probe[0])
        self._reservoir.keep(index, frame, score)
        if self._behind is not None and index >= self._behind[1]:
            self._behind = None
        self._probes = []

    def _score(self, index: int, frame: Frame) -> float:
        return sharpness(frame) / (1.0 + self._signal.at(index))
