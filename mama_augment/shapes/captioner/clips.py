"""From a file to a grid by the functions that the pipeline's steps are made of."""

from __future__ import annotations

from pathlib import Path

from mama_augment.caption.input.grid import compose_grid
from mama_augment.caption.input.layout import GridLayout
from mama_augment.core.shared.jpeg import Image, decode_jpeg
from mama_augment.decode.config import Span
from mama_augment.keyframes.config import ClipConfig
from mama_augment.keyframes.extract import extract_clip
from mama_augment.keyframes.strategies.config import KeyFrameConfig


def clip_grid(path: Path, size_px: tuple[int, int], strategy: str) -> Image:
    """The grid of a clip's key frames, uint8 [height, width, 3], in the default layout."""
    layout = GridLayout()
    choice = KeyFrameConfig(num_frames=layout.num_cells, strategy=strategy)
    found = extract_clip(str(path), Span(), ClipConfig(choice=choice))
    frames = [decode_jpeg(data) for data in found.frames]
    return compose_grid(frames, layout.rows, layout.columns, size_px)
