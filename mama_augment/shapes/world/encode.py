"""Write frames as a real H.264 file; the same frames and coding give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import av

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.render import Image


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How a clip is compressed: quality (higher is worse), GOP length in frames, B-frames."""

    crf: int
    gop_frames: int
    num_b_frames: int
    preset: str = "veryfast"


def draw_coding(draws: Draws) -> Coding:
    """Good to poor quality, short to one-GOP files, with and without B-frames."""
    return Coding(
        crf=draws.integer("crf", 18, 32),
        gop_frames=draws.choice("gop", (6, 12, 24, 250)),
        num_b_frames=draws.choice("b frames", (0, 0, 2)),
    )


def write_h264(target: str | BinaryIO, frames: Iterable[Image], coding: Coding, *, fps: int) -> int:
    """Encode RGB uint8 [H, W, 3] frames (even H and W) as mp4 into `target`, a path or a binary
    file opened for writing; return the number of frames.

    One thread, for x264's output depends on how many it uses; and no macroblock tree, whose
    AVX-512 code was found to read stray memory: with it one file in ten differed between runs.
    """
    num_frames = 0
    with av.open(target, "w", format="mp4") as container:
        stream = None
        for image in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
                stream.options = {
                    "crf": str(coding.crf),
                    "preset": coding.preset,
                    "g": str(coding.gop_frames),
                    "bf": str(coding.num_b_frames),
                    "x264-params": "threads=1:mbtree=0:log-level=none",
                }
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            num_frames += 1
        assert stream is not None, "a video needs at least one frame"
        container.mux(stream.encode(None))
    return num_frames
