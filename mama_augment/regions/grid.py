"""No detector: the cells of a 7x7 grid, scored by how much their pixels differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mama_augment.regions.base import Found, Image, Shown, cut_out

SIDE = 7
STEPS = 255.0


class GridCells:
    """See `base.Detector`."""

    columns: Sequence[str] = ()

    def __init__(self) -> None:
        line = np.linspace(0, 1, SIDE + 1, dtype=np.float32)
        cells = [
            (line[x], line[y], line[x + 1], line[y + 1]) for y in range(SIDE) for x in range(SIDE)
        ]
        self.boxes_N4 = np.array(cells, np.float32)

    def find(self, shown: Shown) -> list[Found]:
        return [self._of(frame) for frame in shown.frames]

    def _of(self, frame: Image) -> Found:
        scores = [cut_out(frame, box).std() / STEPS for box in self.boxes_N4]
        labels = [f"cell {i}" for i in range(len(scores))]
        return Found(boxes_N4=self.boxes_N4, scores_N=np.array(scores, np.float32), labels=labels)
