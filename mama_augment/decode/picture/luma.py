"""Brightness only, read in place: the small luma plane, its change over time, sharpness."""

from __future__ import annotations

from array import array

import av
import numpy as np
import numpy.typing as npt

SAMPLE_ROWS, SAMPLE_COLUMNS = 27, 48
"""The small luma plane: enough to tell shots apart, little enough to cost nothing."""
SAMPLE_SIZE = SAMPLE_ROWS * SAMPLE_COLUMNS
SHARPNESS_ROWS = 24
PLANAR_8_BIT = frozenset(
    [f"{range_}{layout}p" for range_ in ("yuv", "yuvj") for layout in (420, 422, 444, 440, 411)]
    + ["nv12", "nv21", "gray"]
)
"""Formats whose first plane is 8-bit luma."""
PLANAR_WIDE = {
    f"yuv{layout}p{bits}le": bits - 8 for layout in (420, 422, 444) for bits in (9, 10, 12, 14, 16)
}
"""Formats whose first plane is luma in two bytes, and the bits beyond eight."""

Samples = npt.NDArray[np.uint8]


def luma(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """The luma plane [height, width] in levels of 0 to 255, in place if it has 8 bits.

    Of an interlaced frame the lines of one moment: the combs of both would look like sharpness.
    """
    plane = _luma(frame)
    return plane[::2] if frame.interlaced_frame else plane


def _luma(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    if frame.format.name in PLANAR_8_BIT:
        plane = frame.planes[0]
        line_bytes = plane.line_size
        rows = np.frombuffer(plane, np.uint8, line_bytes * frame.height)
        return rows.reshape(-1, line_bytes)[:, : frame.width]
    extra_bits = PLANAR_WIDE.get(frame.format.name)
    if extra_bits is not None:
        plane = frame.planes[0]
        line_bytes = plane.line_size
        wide = np.frombuffer(plane, np.uint16, line_bytes // 2 * frame.height)
        # Half of the rows and columns: this is a copy, and enough to measure by.
        part = wide.reshape(-1, line_bytes // 2)[::2, : frame.width : 2]
        return (part >> extra_bits).astype(np.uint8)
    return np.asarray(frame.reformat(format="gray", threads=1).to_ndarray(), np.uint8)


def sample_luma(frame: av.VideoFrame) -> Samples:
    """A grid of luma points, uint8 [SAMPLE_SIZE], evenly spread over the picture."""
    plane = luma(frame)
    height, width = plane.shape
    row_step, column_step = height // SAMPLE_ROWS, width // SAMPLE_COLUMNS
    if row_step and column_step:
        top, left = row_step // 2, column_step // 2
        grid = plane[top::row_step, left::column_step][:SAMPLE_ROWS, :SAMPLE_COLUMNS]
    else:
        rows = np.arange(SAMPLE_ROWS) * height // SAMPLE_ROWS
        grid = plane[rows][:, np.arange(SAMPLE_COLUMNS) * width // SAMPLE_COLUMNS]
    return grid.reshape(-1)


def sharpness(frame: av.VideoFrame) -> float:
    """Variance of the Laplacian over some rows of the luma plane, squared luma levels."""
    plane = luma(frame)
    height, width = plane.shape
    if height < 3 or width < 3:
        return 0.0
    step = max(1, (height - 2) // SHARPNESS_ROWS)
    laplacian = plane[1:-1:step, 1:-1].astype(np.int16)
    laplacian *= 4
    for neighbour in (
        plane[1:-1:step, :-2],
        plane[1:-1:step, 2:],
        plane[:-2:step, 1:-1],
        plane[2::step, 1:-1],
    ):
        laplacian -= neighbour
    return float(laplacian.var(dtype=np.float32))


class FlashFreeChange:
    """Change of the picture from frame to frame, computed in blocks as the frames go by.

    The change into frame i is the mean absolute difference of the luma samples of i and i - 1.
    A flash of a few frames makes two large differences although the shot goes on; so a large
    one counts only as far as the picture also stays different: the least of |i + k, i - 1| and
    |i, i - 1 - k| for k up to LONGEST_FLASH frames.
    """

    lookahead_frames = 3
    large_change = 6.0

    def __init__(self) -> None:
        self._change = array("d")
        self._samples = np.empty((0, SAMPLE_SIZE), np.uint8)
        self._first_sample = 0

    @property
    def change_N(self) -> npt.NDArray[np.float64]:
        return np.array(self._change)

    def at(self, index: int) -> float:
        return self._change[index]

    def excess(self, index: int) -> float:
        """The change above that of the frames before, for ranking while the scan runs."""
        before = self._change[max(0, index - 15) : index]
        return self._change[index] - (float(np.median(before)) if before else 0.0)

    def extend(self, block: Samples, *, is_last: bool) -> None:
        """Take the samples of the next frames; the last few wait until more is known."""
        self._samples = np.concatenate([self._samples, block])
        start = len(self._change)
        end = self._first_sample + len(self._samples)
        if not is_last:
            end = max(start, end - self.lookahead_frames)
        low = max(start, 1) - self._first_sample
        high = end - self._first_sample
        if start == 0 and end > 0:
            self._change.append(0.0)
        if high > low:
            change = _difference(self._samples[low:high], self._samples[low - 1 : high - 1])
            for position in np.flatnonzero(change > self.large_change).tolist():
                change[position] = self._lasting(low + position, change[position])
            self._change.extend(change.tolist())
        drop = max(0, end - self.lookahead_frames - 1 - self._first_sample)
        self._samples = self._samples[drop:]
        self._first_sample += drop

    def _lasting(self, position: int, change: float) -> float:
        now, before = self._samples[position], self._samples[position - 1]
        later = self._samples[position + 1 : position + 1 + self.lookahead_frames]
        earlier = self._samples[max(0, position - 1 - self.lookahead_frames) : position - 1]
        lasting = change
        if len(later):
            lasting = min(lasting, float(_difference(later, before[None]).min()))
        if len(earlier):
            lasting = min(lasting, float(_difference(now[None], earlier).min()))
        return lasting

    def local_peaks(self, start: int, end: int, least: float) -> list[int]:
        """Frames in [start, end) that change more than their neighbours do."""
        peaks = []
        large = np.flatnonzero(np.array(self._change[start:end]) > least)
        for index in (large + start).tolist():
            change = self._change[index]
            if (
                index
                and change >= max(self._change[index - 3 : index], default=0.0)
                and change > max(self._change[index + 1 : index + 4], default=0.0)
                and self.excess(index) > least
            ):
                peaks.append(index)
        return peaks


def _difference(left: Samples, right: Samples) -> npt.NDArray[np.float64]:
    """Mean absolute difference per row, luma levels."""
    larger = np.maximum(left, right)
    return np.asarray((larger - np.minimum(left, right)).mean(axis=1, dtype=np.float32), float)
