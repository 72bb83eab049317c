"""Likely key frames of a running scan, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from mama_augment.decode.picture.scaler import Frame, Image, Scaler

RAW_BYTES = 52 * 2**20
"""Decoded pictures kept as they are; beyond it the oldest are scaled to output size. Most
candidates are never chosen, and scaling one costs about as much as decoding it."""


@dataclass(kw_only=True)
class Candidate:
    """A frame that may be chosen."""

    score: float
    """Sharper and stiller is higher."""
    frame: Frame | None
    image: Image | None = None


class Reservoir:
    """Candidates by frame index."""

    def __init__(self, scaler: Scaler) -> None:
        self._scaler = scaler
        self._raw: OrderedDict[int, int] = OrderedDict()
        self._raw_bytes = 0
        self.candidates: dict[int, Candidate] = {}

    def keep(self, index: int, frame: Frame, score: float) -> None:
        self.drop(index)
        self.candidates[index] = Candidate(score=score, frame=frame)
        self._raw[index] = frame_bytes(frame)
        self._raw_bytes += self._raw[index]
        while self._raw_bytes > RAW_BYTES:
            oldest, size = self._raw.popitem(last=False)
            self._raw_bytes -= size
            candidate = self.candidates[oldest]
            candidate.image = self._scaler.rgb(candidate.frame)
            candidate.frame = None

    def drop(self, index: int) -> None:
        self.candidates.pop(index, None)
        self._raw_bytes -= self._raw.pop(index, 0)


def frame_bytes(frame: Frame) -> int:
    """Memory that a decoded picture takes."""
    return max(1, sum(plane.buffer_size for plane in frame.planes))
