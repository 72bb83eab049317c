"""A file of the shapes world to a grid, by the functions that the pipeline's steps use."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image as PilImage

from mama_augment.grid import compose_grid
from mama_augment.keyframes import choose_uniform
from mama_augment.shapes.render import Image

STRATEGIES = ("peaks", "uniform")
NUM_KEY_FRAMES = 12
JPEG_QUALITY = 90


def clip_grid(path: Path, size_px: tuple[int, int], strategy: str) -> Image:
    """The 3 x 4 grid of a clip's key frames."""
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    chosen = [frames[i] for i in choose_uniform(len(frames), NUM_KEY_FRAMES)]
    return compose_grid([_through_jpeg(frame) for frame in chosen], 3, 4, size_px)


def _through_jpeg(frame: Image) -> Image:
    """As the clips table stores it."""
    buffer = io.BytesIO()
    PilImage.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(PilImage.open(buffer))
