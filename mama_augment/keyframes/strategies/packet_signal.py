"""Shots seen in the compressed domain: sizes and kinds of packets, nothing decoded.

An encoder spends bits where prediction fails, and that is at cuts: it places an intra frame there
before one is due, or one forward-predicted frame that is far larger than those around it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mama_augment.keyframes.strategies.choose import Segment, allot, running_median

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NEIGHBOURS = 12
"""A forward frame is compared to the median of so many forward frames around it."""
LEAST_RATIO = 2.5
"""Smaller excesses are motion, not cuts."""
EARLY_SHARE = 0.9
"""An intra frame that comes after less than this share of the usual distance is early."""
DETAIL_SHARE = 0.05
"""Share of a clip's packets that may be decoded to reach frames between intra frames, where there
are enough intra frames to choose from."""


def find_packet_peaks(
    size_N: npt.NDArray[np.int64], is_key_N: Flags, is_forward_N: Flags, *, least_distance: int
) -> list[int]:
    """Frames at which a new shot seems to start, strongest first; frame 0 is the first of them.

    Args:
        size_N: packet sizes in display order, bytes.
        is_key_N: intra frames that decoding can start from.
        is_forward_N: frames that lie after all earlier-decoded ones (not bidirectional).
    """
    strength = _strengths(size_N, is_key_N, is_forward_N)
    peaks = [0]
    for index in np.argsort(-strength, kind="stable").tolist():
        if strength[index] <= 0:
            break
        if all(abs(index - other) >= least_distance for other in peaks):
            peaks.append(index)
    return peaks


def _strengths(size_N: npt.NDArray[np.int64], is_key_N: Flags, is_forward_N: Flags) -> Array:
    """Log2 of how much larger than its like a frame is; 0 where it says nothing."""
    strength = np.zeros(len(size_N))
    forward = np.flatnonzero(is_forward_N & ~is_key_N)
    if len(forward):
        size_F = size_N[forward].astype(float)
        ratio = size_F / np.maximum(1.0, running_median(size_F, NEIGHBOURS))
        strength[forward] = np.where(ratio >= LEAST_RATIO, np.log2(ratio), 0.0)
    keys = np.flatnonzero(is_key_N)
    if len(keys) > 1:
        distances = np.diff(keys)
        is_early = distances < EARLY_SHARE * distances.max()
        # Early intra frames are the encoder's own verdict: before any of the large frames.
        strength[keys[1:]] = np.where(is_early, 100.0 + np.log2(size_N[keys[1:]]), 0.0)
    return strength


def choose_by_packets(
    shots: list[Segment], is_key_N: Flags, cost_N: npt.NDArray[np.int64], num_wanted: int
) -> list[int]:
    """One frame per segment, at small cost: intra frames where there are enough of them.

    Args:
        shots: from `choose.cut_at_peaks`.
        cost_N: packets to decode for a frame, from the intra frame before it.
        num_wanted: how many distinct frames, if the clip has them.
    """
    segments = allot(shots, num_wanted)
    keys = np.flatnonzero(is_key_N)
    has_many = len(keys) >= num_wanted
    budget = DETAIL_SHARE * len(is_key_N) if has_many else float("inf")
    chosen: set[int] = set()
    left_out: list[Segment] = []
    first_of_shot = {start for start, _ in shots}
    for start, end in sorted(segments, key=lambda s: s[0] not in first_of_shot):
        inside = keys[(keys >= start) & (keys < end)]
        if len(inside):
            middle = (start + end - 1) / 2
            chosen.add(int(inside[np.abs(inside - middle).argmin()]))
            continue
        frame = _cheap_frame(start, end, first_of_shot)
        if cost_N[frame] <= budget:
            budget -= cost_N[frame]
            chosen.add(frame)
        else:
            left_out.append((start, end))
    for start, end in left_out:
        unused = np.array([k for k in keys.tolist() if k not in chosen])
        if len(unused):
            chosen.add(int(unused[np.abs(unused - (start + end - 1) / 2).argmin()]))
        else:
            chosen.add((start + end - 1) // 2)
    return sorted(chosen)


def _cheap_frame(start: int, end: int, first_of_shot: set[int]) -> int:
    """Early in a shot, behind the cut; the middle of a segment that starts inside a shot."""
    if start in first_of_shot:
        return min(start + 2, (start + end) // 2, end - 1)
    return (start + end - 1) // 2
