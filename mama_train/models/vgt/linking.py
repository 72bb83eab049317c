"""Which region of one frame is which of the next, within a clip.

Score of two regions: IoU of their boxes + cosine of their vectors. `one-to-one` gives every region
to exactly one track, by the assignment with the largest sum; a track is compared by the last
region it had, and has a hole where a frame has none for it. `published` follows the regions of
the first frame greedily, and its fault with them: a link that a track takes is struck out in the
wrong place, so tracks share regions and other regions are lost. Published features were made so.

Shapes: F frames, R regions per frame and tracks, W numbers per vector.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mama_train.models.config import Linking

NEW_TRACK = 0.0
"""Score of a region with a track that has had none yet: what is unlike all objects so far (no
overlap, cosine below 0) begins a track of its own, where one is free."""


def link_regions(
    boxes_FR4: Tensor,
    region_FRW: Tensor,
    mask_FR: Tensor | None = None,
    linking: Linking = "one-to-one",
) -> Tensor:
    """int64 [R,F]: which region each track has in each frame; −1: none. Boxes are x1, y1, x2, y2
    in pixels, both ends inside; mask True = there is a region. `published` takes no mask."""
    f, r = boxes_FR4.shape[:2]
    if linking == "published":
        assert mask_FR is None, "the published linking knows no missing regions"
        return _published(boxes_FR4, region_FRW)
    assert linking == "one-to-one", linking
    there = torch.ones(f, r, dtype=torch.bool) if mask_FR is None else mask_FR
    tracks = torch.full((r, f), -1, dtype=torch.int64)
    last_box, last_region = boxes_FR4[0].clone(), region_FRW[0].clone()
    has_had = torch.zeros(r, dtype=torch.bool)
    for t in range(f):
        present = there[t].nonzero().flatten()
        scores = _scores(last_box, last_region, boxes_FR4[t], region_FRW[t])[:, present]
        scores[~has_had] = NEW_TRACK
        if t == 0:
            chosen = present  # a track is numbered as its region in the first frame is
        else:
            rows, columns = linear_sum_assignment(scores.double().numpy(), maximize=True)
            chosen = torch.empty(len(present), dtype=torch.int64)
            chosen[torch.from_numpy(columns.astype(np.int64))] = torch.from_numpy(rows)
        tracks[chosen, t] = present
        last_box[chosen], last_region[chosen] = boxes_FR4[t, present], region_FRW[t, present]
        has_had[chosen] = True
    return tracks


def along_tracks(values_FRX: Tensor, tracks_RF: Tensor) -> tuple[Tensor, Tensor]:
    """([F,R,...], bool [F,R]): values in the tracks' order, zero in holes, and where there are
    values. Use it for regions and boxes alike."""
    tracks_FR = tracks_RF.T
    mask_FR = tracks_FR >= 0
    frame = torch.arange(len(values_FRX))[:, None]
    taken = values_FRX[frame, tracks_FR.clamp(min=0)]
    keep = mask_FR.reshape(*mask_FR.shape, *[1] * (values_FRX.ndim - 2))
    return taken.masked_fill(~keep, 0), mask_FR


def _published(boxes_FR4: Tensor, region_FRW: Tensor) -> Tensor:
    f, r = boxes_FR4.shape[:2]
    links = [
        _scores(boxes_FR4[t], region_FRW[t], boxes_FR4[t + 1], region_FRW[t + 1])
        for t in range(f - 1)
    ]
    tracks = torch.zeros(r, f, dtype=torch.int64)
    for track in range(r):
        tracks[track, 0] = track
        for t, link in enumerate(links):
            tracks[track, t + 1] = link[tracks[track, t]].argmax()
        for t, link in enumerate(links):
            link[tracks[track, t + 1]] = 0  # the row of that number, where its column is meant
    return tracks


def _scores(box_A4: Tensor, vector_AW: Tensor, box_B4: Tensor, vector_BW: Tensor) -> Tensor:
    """IoU + cosine, [A,B]."""
    low = torch.maximum(box_A4[:, None, :2], box_B4[None, :, :2])
    high = torch.minimum(box_A4[:, None, 2:], box_B4[None, :, 2:])
    shared = (high - low + 1).clamp(min=0).prod(-1)
    area_A, area_B = ((box[:, 2:] - box[:, :2] + 1).prod(-1) for box in (box_A4, box_B4))
    iou = shared / (area_A[:, None] + area_B[None] - shared)
    cosine = torch.nn.functional.cosine_similarity(vector_AW[:, None], vector_BW[None], dim=-1)
    return iou + cosine
