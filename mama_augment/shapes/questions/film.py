"""A plain take with still dots in front, its frames, and where everything is.

Shapes: W x H pixels; boxes x1, y1, x2, y2 in shares of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mama_augment.core.draws import Draws
from mama_augment.shapes.questions.ask import Asked
from mama_augment.shapes.world.render import Image, object_state, polygon, render_frame
from mama_augment.shapes.world.take import FPS, HEIGHT_PX, WIDTH_PX, Take, plain_take

DOT = 0.15
"""Diameter, in frame widths."""
COLUMNS, ROWS = 3, 4
"""Each dot has a cell of its own."""
SIZE = (WIDTH_PX // 2, HEIGHT_PX // 2)
"""Of the video: enough for models that see 32 px."""
WHITE, DARK = (250, 250, 250), (15, 15, 15)


@dataclass(frozen=True, kw_only=True)
class Film:
    """A take, and where the dots are: centres in pixels of a rendered frame."""

    take: Take
    dots: tuple[tuple[float, float], ...]

    def frames(self) -> Iterator[Image]:
        """RGB uint8 [128,96,3], in order."""
        for index in range(self.take.num_frames):
            frame = render_frame(self.take, index)
            for x, y in self.dots:
                at, radius = (round(x), round(y)), round(DOT * WIDTH_PX / 2)
                cv2.circle(frame, at, radius, WHITE, -1, lineType=cv2.LINE_AA)
                cv2.circle(frame, at, radius, DARK, 2, lineType=cv2.LINE_AA)
            yield cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)

    def boxes(self) -> list[dict[str, Any]]:
        """Of each frame, its time and what is in it; in the layout of a column `true_regions`."""
        found = []
        for index in range(self.take.num_frames):
            regions = [(self.take.scene.concept, *self._shape_box(index))]
            half = DOT * WIDTH_PX / 2
            regions += [
                ("dot", *_shares(x - half, y - half, x + half, y + half)) for x, y in self.dots
            ]
            names = ("label", "x1", "y1", "x2", "y2")
            found.append(
                {
                    "seconds": index / FPS,
                    "regions": [dict(zip(names, region, strict=True)) for region in regions],
                }
            )
        return found

    def _shape_box(self, index: int) -> tuple[float, float, float, float]:
        x, y, diameter = object_state(self.take, index)
        corners = (np.array([x, y]) + polygon(self.take.scene.shape) * diameter) * WIDTH_PX
        (x1, y1), (x2, y2) = corners.min(0).tolist(), corners.max(0).tolist()
        return _shares(x1, y1, x2, y2)


def film(asked: Asked, draws: Draws) -> Film:
    """The same scene and draws give the same film."""
    cells = draws.shuffled("cells", range(COLUMNS * ROWS))[: asked.num_dots]
    cell = WIDTH_PX / COLUMNS, HEIGHT_PX / ROWS
    dots = []
    for number, place in enumerate(cells):
        column, row = place % COLUMNS, place // COLUMNS
        x = (column + draws.uniform(f"x {number}", 0.3, 0.7)) * cell[0]
        y = (row + draws.uniform(f"y {number}", 0.3, 0.7)) * cell[1]
        dots.append((x, y))
    return Film(take=plain_take(asked.scene, draws), dots=tuple(dots))


def _shares(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
    """Cut at the frame's edges."""
    sides = np.clip([x1 / WIDTH_PX, y1 / HEIGHT_PX, x2 / WIDTH_PX, y2 / HEIGHT_PX], 0.0, 1.0)
    a, b, c, d = sides.tolist()
    return a, b, c, d
