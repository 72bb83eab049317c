"""A video's key frames on one grid: what the captioner sees. No pipeline, three functions.

python examples/frames_to_grid.py VIDEO grid.png
"""

from __future__ import annotations

import sys

from PIL import Image

from mama_augment.caption.input.grid import compose_grid
from mama_augment.core.shared.jpeg import decode_jpeg
from mama_augment.decode.config import Span
from mama_augment.keyframes.config import ClipConfig
from mama_augment.keyframes.extract import extract_clip


def main(video: str, png: str) -> None:
    clip = extract_clip(video, Span(), ClipConfig())
    frames = [decode_jpeg(jpeg) for jpeg in clip.frames]
    grid = compose_grid(frames, rows=3, columns=4, size_px=(768, 576))
    Image.fromarray(grid).save(png)
    seconds = ", ".join(f"{t:.2f}" for t in clip.frame_seconds)
    print(f"{clip.num_frames} frames, {len(frames)} key frames at {seconds} s -> {png}")


if __name__ == "__main__":
    main(*sys.argv[1:])
