"""What finds regions, and what makes vectors of them: the protocols, and what both hand over.

Shapes: N regions of a frame, R wanted, W numbers per vector; a frame is uint8 RGB [H,W,3].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class NoRegionsError(Exception):
    """A clip that has none, for a reason of the step."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, kw_only=True)
class Found:
    """Regions of a frame, best first. boxes_N4: x1, y1, x2, y2 in shares of the frame. states_NW:
    the detector's own vectors, where it has such."""

    boxes_N4: Floats
    scores_N: Floats
    labels: Sequence[str]
    states_NW: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def only(self, rows: Any) -> Found:
        """Some of them, by number."""
        states = self.states_NW
        return Found(
            boxes_N4=self.boxes_N4[rows],
            scores_N=self.scores_N[rows],
            labels=[self.labels[i] for i in np.arange(len(self.labels))[rows].tolist()],
            states_NW=states[rows] if len(states) else states,
        )


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip as detectors get it: its frames, when they are, and its row in the clips table."""

    frames: Sequence[Image]
    seconds: Sequence[float]
    row: Mapping[str, Any]


class Detector(Protocol):
    """Finds regions."""

    columns: Sequence[str]
    """Of the clips table, that it reads."""

    def find(self, shown: Shown) -> list[Found]:
        """Of each frame; any number of regions, in any order."""
        ...


class Vectors(Protocol):
    """Makes vectors of regions."""

    def of(self, frames: Sequence[Image], found: Sequence[Found]) -> list[tuple[Floats, Floats]]:
        """Of each frame: its regions' vectors [N,W], and the frame's own [W]."""
        ...


def best(found: Found, num: int, *, overlap: float, least_score: float) -> Found:
    """The `num` best by score, of which none shares more than `overlap` with a better one."""
    order = np.argsort(-found.scores_N, kind="stable")
    kept: list[int] = []
    for i in order.tolist():
        if len(kept) == num or found.scores_N[i] < least_score:
            break
        if all(iou(found.boxes_N4[i], found.boxes_N4[j]) <= overlap for j in kept):
            kept.append(i)
    return found.only(np.array(kept, np.int64))


def iou(a: Floats, b: Floats) -> float:
    """Shared area over the area of both together."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.clip(high - low, 0, None).prod())
    both = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / both if both > 0 else 0.0


def cut_out(frame: Image, box_4: Floats) -> Image:
    """The pixels in a box; at least one."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = (box_4 * [width, height, width, height]).tolist()
    left, top = min(int(x1), width - 1), min(int(y1), height - 1)
    right, bottom = max(int(np.ceil(x2)), left + 1), max(int(np.ceil(y2)), top + 1)
    return frame[top:bottom, left:right]
