"""What each input costs and shows: tokens, pixels and CPU time of transformers' own processors.

    python benchmarks/caption_inputs.py            # about a minute of CPU time

The processors are built here with their published sizes; weights are not needed. Frames are noise
of 455x256 px (16:9 at the default short side). Per model, input and number of key frames Q:

- tokens: picture tokens of one request (text, times and separators not counted),
- px: pixels of a frame that reach the vision tower, black borders not counted; a tile's overview
  counts as well,
- ms: CPU time of laying out and processing one request, median of --rounds, one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch

from mama_augment.caption.engines.base import CaptionRequest, ChatConfig, SamplingConfig
from mama_augment.caption.engines.chat import Chat
from mama_augment.caption.input.layout import GridLayout, PictureSize, arrange
from mama_augment.caption.input.present import show
from mama_augment.caption.models.families import FAMILIES
from tests.augment.architectures import MAKERS

FRAME_PX = (455, 256)
NUMBERS = (4, 8, 12, 16)


def published(name: str) -> tuple[Any, PictureSize]:
    """A family's processor with published sizes, and the size of its grids."""
    import transformers as tf

    _, processor = MAKERS[name]()
    config: dict[str, Any] = {}
    images: dict[str, Any] = {}
    if name == "llava":
        crop = {"height": 336, "width": 336}
        images = {"crop_size": crop}
        processor.image_processor = tf.CLIPImageProcessor(
            size={"shortest_edge": 336}, crop_size=crop
        )
    elif name == "llava_onevision":
        side = {"height": 384, "width": 384}
        points = [[384 * r, 384 * c] for r in range(1, 7) for c in range(1, 7)]
        images = {"size": side}
        processor.image_processor = tf.LlavaOnevisionImageProcessor(
            size=side, image_grid_pinpoints=points
        )
        processor.video_processor = tf.LlavaOnevisionVideoProcessor(size=side)
        processor.num_image_tokens, processor.vision_aspect_ratio = 729, "anyres_max_9"
    elif name in ("qwen2_5_vl", "qwen3_vl"):
        patch = 14 if name == "qwen2_5_vl" else 16
        images = {"patch_size": patch, "merge_size": 2}
        area = {"shortest_edge": 4 * (2 * patch) ** 2, "longest_edge": 16384 * (2 * patch) ** 2}
        processor.image_processor = tf.Qwen2VLImageProcessor(
            patch_size=patch, merge_size=2, size=area
        )
        processor.video_processor = (
            tf.Qwen2VLVideoProcessor() if patch == 14 else tf.Qwen3VLVideoProcessor()
        )
    elif name == "internvl":
        side = {"height": 448, "width": 448}
        images = {"size": side}
        processor.image_processor = tf.GotOcr2ImageProcessor(
            size=side, crop_to_patches=True, max_patches=12
        )
        processor.video_processor = tf.InternVLVideoProcessor(size=side)
        processor.image_seq_length = 256
    elif name == "gemma3":
        side = {"height": 896, "width": 896}
        images = {"size": side}
        _, processor = MAKERS[name]()
        processor = tf.Gemma3Processor(
            tf.Gemma3ImageProcessor(size=side), processor.tokenizer,
            chat_template=processor.chat_template, image_seq_length=256,
        )  # fmt: skip
    return processor, FAMILIES[name].size(config, images)


def jpegs(number: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    small = rng.integers(64, 192, (number, 5, 8, 3)).astype(np.uint8)
    return [cv2.imencode(".jpg", cv2.resize(f, FRAME_PX))[1].tobytes() for f in small]


def request_of(
    frames: list[bytes], input: str, layout: GridLayout | None, size: PictureSize
) -> CaptionRequest:
    seconds = [0.8 * i for i in range(len(frames))]
    shown = show(frames, seconds, input=input, layout=layout, size=size)
    return CaptionRequest(
        request_id="0", shown=shown, prompt="Describe.", sampling=SamplingConfig(), seed=0
    )


def num_picture_tokens(processor: Any, ids: list[int]) -> int:
    tokenizer = processor.tokenizer
    names = {"<image>", "<video>", "<|image_pad|>", "<|video_pad|>", "<IMG_CONTEXT>"}
    names |= {"<image_soft_token>"}
    known = set(tokenizer.get_vocab()) & names
    return sum(ids.count(tokenizer.convert_tokens_to_ids(name)) for name in known)


def tower_px(inputs: Any, processor: Any) -> float:
    """Pixels that the vision tower is given, of all frames."""
    values = inputs.get("pixel_values_videos")
    values = inputs["pixel_values"] if values is None else values
    px = values.numel() / 3
    if "image_grid_thw" in inputs:  # a still is doubled to fill a patch in time
        px /= processor.image_processor.temporal_patch_size
    return px


def content_share(layout: GridLayout | None, number: int, size: PictureSize) -> float:
    """The part of a grid that is frames."""
    found, (width, height) = arrange(number, FRAME_PX, size, layout)
    cell = (width // found.columns, height // found.rows)
    scale = min(cell[0] / FRAME_PX[0], cell[1] / FRAME_PX[1])
    return number * scale * scale * FRAME_PX[0] * FRAME_PX[1] / (width * height)


def measure(act: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    """(result, CPU-milliseconds); once before, for whatever is lazy."""
    result = act()
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        act()
        taken.append(1000 * (time.process_time() - started))
    return result, statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print("| model | input | " + " | ".join(f"Q = {q}" for q in NUMBERS) + " |")
    print("|---|---|" + "---|" * len(NUMBERS))
    for name in ("llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl", "gemma3"):
        processor, size = published(name)
        chat = Chat(processor, ChatConfig())
        square = PictureSize(width_px=size.width_px, height_px=size.height_px)
        ways: list[tuple[str, str, GridLayout | None, PictureSize]] = [
            ("grid 3x4, square", "grid", GridLayout(), square),
            ("grid auto", "grid", None, size),
        ]
        ways += [(kind, kind, None, size) for kind in FAMILIES[name].inputs if kind != "grid"]
        for label, kind, layout, asked_size in ways:
            cells = []
            for number in NUMBERS:
                frames = jpegs(number)
                if layout is not None and number > layout.num_cells:
                    cells.append("")
                    continue

                def act(
                    frames: list[bytes] = frames,
                    kind: str = kind,
                    layout: GridLayout | None = layout,
                    asked_size: PictureSize = asked_size,
                    chat: Chat = chat,
                ) -> Any:
                    return chat([request_of(frames, kind, layout, asked_size)])

                inputs, milliseconds = measure(act, options.rounds)
                px = tower_px(inputs, processor) / number
                if kind == "grid":
                    px *= content_share(layout, number, asked_size)
                tokens = num_picture_tokens(processor, inputs["input_ids"][0].tolist())
                cells.append(f"{tokens:,} · {px:,.0f} · {milliseconds:.0f}")
            print(f"| {name} | {label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
