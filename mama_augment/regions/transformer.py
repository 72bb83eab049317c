"""Detectors of transformers whose queries are scored by a sigmoid: RF-DETR, D-FINE, RT-DETR, ….

A query's score is its best class's; its vector is the last state of the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForObjectDetection

from mama_augment.core.errors import InputError
from mama_augment.regions.base import Found, Shown
from mama_augment.regions.config import DETECTORS
from mama_augment.regions.pretrained import Pictures, load, locate

KINDS = ("rf_detr", "lw_detr", "d_fine", "rt_detr", "rt_detr_v2", "deformable_detr")


class TransformerDetector:
    """See `base.Detector`."""

    columns: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.model, self.device = load(AutoModelForObjectDetection, folder)
        kind = self.model.config.model_type
        if kind not in KINDS:
            raise InputError(
                f"{str(folder)!r} holds a detector of the type {kind!r}; allowed: "
                f"{', '.join(KINDS)}"
            )
        self.pictures = Pictures(folder)

    @classmethod
    def named(cls, name: str) -> TransformerDetector:
        """Of a folder or an alias."""
        return cls(locate(name, DETECTORS, "--model"))

    @torch.no_grad()
    def find(self, shown: Shown) -> list[Found]:
        found = []
        for pixels in self.pictures.batches(shown.frames, self.device):
            out = self.model(pixel_values=pixels)
            for logits, boxes, states in zip(
                out.logits.float().cpu(), out.pred_boxes.float().cpu(), _states(out), strict=True
            ):
                found.append(self._found(logits, boxes, states))
        return found

    def _found(self, logits: torch.Tensor, boxes: torch.Tensor, states: torch.Tensor) -> Found:
        scores, classes = logits.sigmoid().max(-1)
        names = self.model.config.id2label
        middle, half = boxes[:, :2], boxes[:, 2:] / 2
        corners = torch.cat([middle - half, middle + half], dim=1).clamp(0, 1)
        return Found(
            boxes_N4=corners.numpy().astype(np.float32),
            scores_N=scores.numpy(),
            labels=[str(names.get(i, i)) for i in classes.tolist()],
            states_NW=states.numpy(),
        )


def _states(out: Any) -> torch.Tensor:
    """[b,queries,width] of the decoder's last layer."""
    last = getattr(out, "last_hidden_state", None)
    if last is None:
        last = out.intermediate_hidden_states[:, -1]
    return last.float().cpu()
