"""No model: what is in a box, as 6x6 pixels, from -1 to 1."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mama_augment.regions.base import Floats, Found, Image, cut_out

SIDE = 6


class Pixels:
    """See `base.Vectors`."""

    def of(self, frames: Sequence[Image], found: Sequence[Found]) -> list[tuple[Floats, Floats]]:
        return [
            (
                np.stack([small(cut_out(frame, box)) for box in regions.boxes_N4])
                if len(regions.boxes_N4)
                else np.zeros((0, 3 * SIDE**2), np.float32),
                small(frame),
            )
            for frame, regions in zip(frames, found, strict=True)
        ]


def small(pixels: Image) -> Floats:
    """[108], row by row."""
    scaled = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return (scaled.reshape(-1) / 127.5 - 1).astype(np.float32)
