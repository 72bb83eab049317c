"""Boxes that came with the clips, as a made world knows them: column `true_regions`.

A list of frames, each with `seconds` and `regions`: label, x1, y1, x2, y2 in shares of the frame.
The nearest of them in time is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mama_augment.regions.base import Found, NoRegionsError, Shown

COLUMN = "true_regions"


class TrueRegions:
    """See `base.Detector`."""

    columns: Sequence[str] = (COLUMN,)

    def find(self, shown: Shown) -> list[Found]:
        """
        Raises:
            NoRegionsError: the clip has none.
        """
        told = shown.row[COLUMN]
        if not told:
            raise NoRegionsError("no_true_regions", f"{shown.row['clip_id']}: {COLUMN} is empty")
        times = np.array([frame["seconds"] for frame in told])
        nearest = [int(np.abs(times - seconds).argmin()) for seconds in shown.seconds]
        return [_found(told[i]["regions"] or []) for i in nearest]


def _found(regions: Sequence[dict[str, Any]]) -> Found:
    boxes = [[region[name] for name in ("x1", "y1", "x2", "y2")] for region in regions]
    return Found(
        boxes_N4=np.array(boxes, np.float32).reshape(-1, 4),
        scores_N=np.ones(len(regions), np.float32),
        labels=[str(region["label"]) for region in regions],
    )
