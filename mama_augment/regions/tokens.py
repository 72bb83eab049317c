"""An image encoder's patch tokens: a region is the mean of those in its box, a frame that of all.

One pass per frame serves every box. Shapes: P patches along a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from mama_augment.core.errors import InputError
from mama_augment.regions.base import Floats, Found, Image
from mama_augment.regions.config import ENCODERS
from mama_augment.regions.pretrained import Pictures, load, locate

PATCHES = 16


class Tokens:
    """See `base.Vectors`."""

    def __init__(self, folder: Path) -> None:
        self.model, self.device = load(AutoModel, folder)
        patch = getattr(self.model.config, "patch_size", None)
        if not isinstance(patch, int):
            raise InputError(
                f"--vectors {str(folder)!r}: a {self.model.config.model_type} has no square patches"
            )
        self.pictures = Pictures(folder, size_px=PATCHES * patch)

    @classmethod
    def named(cls, name: str) -> Tokens:
        """Of a folder or an alias."""
        return cls(locate(name, ENCODERS, "--vectors"))

    @torch.no_grad()
    def of_frames(self, frames: Sequence[Image]) -> Floats:
        """[N,P,P,W]: what stands before the patches (class, registers) is left out."""
        found = []
        for pixels in self.pictures.batches(frames, self.device):
            states = self.model(pixel_values=pixels).last_hidden_state[:, -(PATCHES**2) :]
            found.append(states.float().cpu().numpy())
        tokens = np.concatenate(found)
        return tokens.reshape(len(frames), PATCHES, PATCHES, -1)

    def of(self, frames: Sequence[Image], found: Sequence[Found]) -> list[tuple[Floats, Floats]]:
        tokens = self.of_frames(frames)
        result = []
        for grid, regions in zip(tokens, found, strict=True):
            cells = [in_box(grid, box) for box in regions.boxes_N4]
            own = np.stack(cells) if cells else np.zeros((0, grid.shape[-1]), np.float32)
            result.append((own, grid.mean((0, 1))))
        return result


def in_box(grid_PPW: Floats, box_4: Floats) -> Floats:
    """[W] mean of the patches, by the share of each that the box covers."""
    side = len(grid_PPW)
    edges = np.arange(side + 1) / side

    def shares(low: float, high: float) -> Floats:
        covered = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        return np.clip(covered, 1e-9, None).astype(np.float32)

    x1, y1, x2, y2 = box_4.tolist()
    weight = shares(y1, y2)[:, None] * shares(x1, x2)[None]
    return (grid_PPW * (weight / weight.sum())[..., None]).sum((0, 1))
