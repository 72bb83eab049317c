"""Where one video falls into several clips: at its scenes, or every so many seconds."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise

import numpy as np

from mama_augment.decode.config import ROUNDING_SECONDS, PictureConfig, Span
from mama_augment.decode.frames.reader import ClipReader
from mama_augment.decode.picture.scaler import Scaler
from mama_augment.decode.source import OpenVideo, open_video
from mama_augment.keyframes.config import ClipConfig, CutConfig
from mama_augment.keyframes.strategies.choose import find_peaks
from mama_augment.keyframes.strategies.scan import scan_clip

MILLISECONDS = 1000


def cut_video(
    path: str, span: Span, cut: CutConfig, config: ClipConfig, root: str | None = None
) -> list[Span]:
    """The clips of a span of a video: adjacent, in order, covering it; times in milliseconds.

    root: the folder that the file must lie in, if given.

    Raises:
        ClipError: the video cannot be read.
    """
    num_threads = config.limits.num_threads
    with open_video(path, config.limits, num_threads=num_threads, root=root) as video:
        cuts, num_errors = _cuts(video, span, cut, config)
    if num_errors and num_threads > 1:  # as `extract_clip`: timing decides what is made up
        with open_video(path, config.limits, num_threads=1, root=root) as video:
            cuts, _ = _cuts(video, span, cut, config)
    edges = [span.start_seconds, *cuts, span.end_seconds]
    return [Span(start_seconds=start, end_seconds=end) for start, end in pairwise(edges)]


def _cuts(
    video: OpenVideo, span: Span, cut: CutConfig, config: ClipConfig
) -> tuple[list[float], int]:
    """Where to cut, in seconds, and how much damage was met."""
    reader = ClipReader(video, span)
    if cut.scenes:
        return scene_cuts(reader, cut.least_seconds, config), reader.num_errors
    assert cut.seconds is not None
    return even_cuts(frame_times(reader), cut.seconds), reader.num_errors


def frame_times(reader: ClipReader) -> array[float]:
    """Seconds of every frame of the clip, by the container; without a timeline, decoded."""
    if reader.has_timeline:
        return array("d", (reader.info.seconds(reader.pts(i)) for i in range(reader.num_indexed)))
    times = array("d", (reader.info.seconds(pts) for _, pts, _ in reader.frames()))
    if reader.settle():
        times = array("d", (reader.info.seconds(pts) for _, pts, _ in reader.frames()))
    return times


def even_cuts(times: array[float], seconds: float) -> list[float]:
    """Cuts every `seconds`; a rest shorter than half of that stays with the clip before.

    No clip is without a frame: a file of two frames an hour apart would make thousands.
    """
    if not times:
        return []
    since_first = np.frombuffer(times, np.float64) - times[0]
    num_clips = max(1, math.floor(since_first[-1] / seconds + 0.5))
    # To where each frame belongs, as `Span.holds` has it.
    places = np.floor((since_first + ROUNDING_SECONDS) / seconds)
    numbers = np.unique(np.clip(places, 0, num_clips - 1))
    return [_rounded(times[0] + float(number) * seconds) for number in numbers if number > 0]


def scene_cuts(reader: ClipReader, least_seconds: float, config: ClipConfig) -> list[float]:
    """The peaks of the clip's change signal, strongest first, no scene shorter than allowed.

    Where few frames are looked at, a cut lies in the middle of the two that it was found between.
    """
    scaler = Scaler(PictureConfig(short_side_px=16), reader.info.pixel_aspect)
    scan = scan_clip(reader, scaler, config.choice, num_wanted=1)
    if not scan.pts:
        return []
    seconds = array("d", map(reader.info.seconds, scan.pts))
    kept = np.array([seconds[0], seconds[-1]])
    for peak in find_peaks(scan.change_N, config.choice)[1:]:
        # Between two frames: no rounding can move it to the other side.
        cut = _rounded((seconds[peak] + seconds[peak - 1]) / 2)
        if np.abs(kept - cut).min() >= least_seconds:
            kept = np.append(kept, cut)
    return sorted(kept[2:].tolist())


def _rounded(seconds: float) -> float:
    return round(seconds * MILLISECONDS) / MILLISECONDS
