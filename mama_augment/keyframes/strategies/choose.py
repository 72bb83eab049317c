"""Which frames show the most of a clip: a change signal in, frame indices out.

A clip is cut into shots at the strongest peaks of its change signal; every shot gets one key
frame, and what is left of the number asked for goes to the longest shots, evenly. The start of
the clip counts as a peak. Pure: arrays in, arrays out; nothing here decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mama_augment.keyframes.strategies.config import KeyFrameConfig

Array = npt.NDArray[np.float64]
Segment = tuple[int, int]
"""A half-open range of frame indices that gives one key frame."""


def find_peaks(change_N: Array, config: KeyFrameConfig) -> list[int]:
    """Frames at which a new shot starts, strongest first; frame 0 is always the first of them.

    Args:
        change_N: difference of frame i to frame i - 1 in luma levels; change_N[0] is ignored.
    """
    num_frames = len(change_N)
    if num_frames == 0:
        return []
    excess_N = change_N - running_median(change_N, config.baseline_frames)
    excess_N[0] = 0.0
    least = max(config.least_change, config.relative_threshold * float(excess_N.max()))
    order = np.argsort(-excess_N, kind="stable")
    peaks = [0]
    for index in order[: np.count_nonzero(excess_N >= least)].tolist():
        if all(abs(index - other) >= config.least_shot_frames for other in peaks):
            peaks.append(index)
    return peaks


def choose_scanned(
    is_key_N: npt.NDArray[np.bool_], config: KeyFrameConfig, fps: float
) -> list[int] | None:
    """The frames that a scan shall look at, never fewer than it must choose; None: all of them.

    An intra frame that is near is as good as the frame at the even place, and cheaper.
    """
    num_frames = len(is_key_N)
    num_scanned = num_frames
    if config.sample_fps is not None:
        num_scanned = min(num_scanned, round(num_frames / fps * config.sample_fps))
    if config.max_frames_scanned is not None:
        num_scanned = min(num_scanned, config.max_frames_scanned)
    num_scanned = max(num_scanned, config.num_frames)
    if num_scanned >= num_frames:
        return None
    even = np.array(choose_uniform(num_frames, num_scanned))
    keys = np.flatnonzero(is_key_N)
    if not len(keys):
        return [int(index) for index in even]
    after = np.searchsorted(keys, even).clip(0, len(keys) - 1)
    before = (after - 1).clip(0)
    nearer_before = np.abs(keys[before] - even) <= np.abs(keys[after] - even)
    nearest = np.where(nearer_before, keys[before], keys[after])
    # Strictly less than half the least distance of two places: no key frame serves both.
    is_near = 2 * np.abs(nearest - even) < num_frames // num_scanned
    return [int(index) for index in np.where(is_near, nearest, even)]


def running_median(signal_N: Array, window: int) -> Array:
    """Median of `window` neighbours (one more where it is even); ends are mirrored."""
    from scipy.ndimage import median_filter

    half = min(window // 2, len(signal_N) - 1)
    return signal_N.copy() if half < 1 else median_filter(signal_N, 2 * half + 1, mode="mirror")


def cut_at_peaks(peaks: Sequence[int], num_frames: int, max_shots: int) -> list[Segment]:
    """The shots between the strongest peaks (`peaks` is sorted by strength), in time order."""
    starts = sorted(peaks[:max_shots])
    return list(zip(starts, [*starts[1:], num_frames], strict=True))


def allot(shots: Sequence[Segment], num_frames: int) -> list[Segment]:
    """Exactly `num_frames` disjoint segments: one or more even parts of each shot.

    Every further part goes to the shot whose parts are longest. With fewer frames than asked for,
    each frame is its own segment.
    """
    lengths = np.array([end - start for start, end in shots])
    parts = np.ones(len(shots), int)
    for _ in range(min(num_frames, int(lengths.sum())) - len(shots)):
        part_lengths = np.where(parts < lengths, lengths / parts, 0.0)
        parts[int(part_lengths.argmax())] += 1
    segments = []
    for (start, end), num_parts in zip(shots, parts.tolist(), strict=True):
        edges = [start + (end - start) * k // num_parts for k in range(num_parts + 1)]
        segments += list(pairwise(edges))
    return segments


def middles(segments: Sequence[Segment]) -> list[int]:
    """The middle frame of each segment."""
    return [(start + end - 1) // 2 for start, end in segments]


def choose_uniform(num_frames: int, num_wanted: int) -> list[int]:
    """The middles of `num_wanted` even parts: all frames where there are no more."""
    return middles(allot([(0, num_frames)], num_wanted)) if num_frames else []


def choose_iframes(is_key_N: npt.NDArray[np.bool_], num_wanted: int) -> list[int]:
    """The codec's own intra frames, evenly thinned; the longest gaps are filled where few."""
    num_frames = len(is_key_N)
    keys = np.flatnonzero(is_key_N).tolist()
    if len(keys) >= num_wanted:
        return [keys[i] for i in choose_uniform(len(keys), num_wanted)]
    chosen = set(keys)
    edges = [-1, *keys, num_frames]
    gaps = [(a + 1, b) for a, b in pairwise(edges) if b - a > 1]
    missing = min(num_wanted, num_frames) - len(keys)
    while missing > 0:
        start, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        middle = (start + end - 1) // 2
        gaps.remove((start, end))
        gaps += [gap for gap in ((start, middle), (middle + 1, end)) if gap[1] > gap[0]]
        chosen.add(middle)
        missing -= 1
    return sorted(chosen)


def choose_candidates(
    segments: Sequence[Segment], candidate_index: npt.NDArray[np.int64], score: Array
) -> list[int | None]:
    """The best candidate of each segment: away from its edges if possible, then by score.

    A frame next to a cut may still carry the other shot (blending, compression), and frames
    near the edges crowd together: the outer quarters of a segment are used only when nothing
    else is there.

    Args:
        segments: S ranges of frame indices.
        candidate_index: [C], frame indices, ascending.
        score: [C], higher is better; of equal ones the first is taken.

    Returns:
        S frame indices; None for a segment without any candidate.
    """
    chosen: list[int | None] = []
    for start, end in segments:
        inside = (candidate_index >= start) & (candidate_index < end)
        margin = (end - start) // 4
        calm = inside & (candidate_index >= start + margin) & (candidate_index < end - margin)
        positions = np.flatnonzero(calm if calm.any() else inside)
        best = positions[score[positions].argmax()] if len(positions) else None
        chosen.append(None if best is None else int(candidate_index[best]))
    return chosen
