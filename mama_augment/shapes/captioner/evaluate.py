"""How often the bundled captioner is right, attribute by attribute.

    python -m mama_augment.shapes.captioner.evaluate --seed 101 --num-videos 800

makes a world of clips that training never saw, takes every clip the way of the pipeline (H.264
file, key frames, JPEG, grid, greedy generation) and compares the caption with the truth; scenes
whose combination was held out of training are counted apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mama_augment.caption.input.prompts import NAMED
from mama_augment.keyframes.strategies import STRATEGIES
from mama_augment.shapes.captioner.clips import clip_grid
from mama_augment.shapes.world.make import WorldConfig, make_world, world_members
from mama_augment.shapes.world.scene import ATTRIBUTES, Scene, is_held_out, parse_caption

BUNDLED = Path(__file__).parent / "llava"
PROMPT = NAMED["process"]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Shares of clips, 0..1; a caption that is no sentence of this world is wrong in all."""

    num_clips: int
    colour: float
    shape: float
    first_motion: float
    second_motion: float
    caption: float


def accuracy(captions: Sequence[str], scenes: Sequence[Scene]) -> Accuracy:
    """Compare generated captions with the scenes that they should describe."""
    assert len(captions) == len(scenes)
    parsed = [parse_caption(caption) for caption in captions]

    def share(name: str) -> float:
        pairs = zip(parsed, scenes, strict=True)
        right = sum(p is not None and getattr(p, name) == getattr(s, name) for p, s in pairs)
        return right / max(1, len(scenes))

    return Accuracy(
        num_clips=len(scenes), **{name: share(name) for name in (*ATTRIBUTES, "caption")}
    )


class Captioner:
    """A LLaVA directory, loaded for greedy generation on the CPU."""

    def __init__(self, directory: Path) -> None:
        import torch
        from transformers import AutoProcessor, LlavaForConditionalGeneration

        self.processor: Any = AutoProcessor.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
        self.model: Any = LlavaForConditionalGeneration.from_pretrained(
            directory, local_files_only=True, dtype=torch.float32
        ).eval()
        crop = self.processor.image_processor.crop_size
        self.size_px = (int(crop["width"]), int(crop["height"]))

    def __call__(self, grids: Sequence[Any], prompt: str = PROMPT) -> list[str]:
        """Captions of grids, uint8 [H, W, 3] each."""
        import torch

        parts = [{"type": "image"}, {"type": "text", "text": prompt}]
        chat = self.processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True
        )
        inputs = self.processor(
            text=[chat] * len(grids), images=list(grids), return_tensors="pt", padding=True
        )
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=32, do_sample=False)
        answers = ids[:, inputs["input_ids"].shape[1] :]
        texts = self.processor.batch_decode(answers, skip_special_tokens=True)
        return [text.strip() for text in texts]


def caption_world(
    captioner: Captioner, directory: Path, clip_ids: Iterable[str], strategy: str, prompt: str
) -> list[str]:
    """Captions of a world's clips, 16 grids at a time."""
    grids = [
        clip_grid(directory / "videos" / f"{clip_id}.mp4", captioner.size_px, strategy)
        for clip_id in clip_ids
    ]
    captions: list[str] = []
    for start in range(0, len(grids), 16):
        captions += captioner(grids[start : start + 16], prompt)
    return captions


def table(rows: Sequence[tuple[str, Accuracy]]) -> str:
    """Markdown, in percent."""
    names = (*ATTRIBUTES, "caption")
    titles = ["scenes", "clips", *(name.replace("_", " ") for name in names)]
    lines = [titles, ["---"] * len(titles)]
    for title, found in rows:
        shares = [f"{100 * getattr(found, name):.1f} %" for name in names]
        lines.append([title, str(found.num_clips), *shares])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Make a world, caption it, print the table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--num-videos", type=int, default=800)
    parser.add_argument("--strategy", choices=STRATEGIES, default="peaks")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--errors", action="store_true", help="print every wrong caption")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # Uniform over the concepts: a rare one weighs as much as a frequent one.
    config = WorldConfig(
        seed=options.seed, num_videos=options.num_videos, zipf_exponent=0, meta=0, val=0, test=0
    )
    members = list(world_members(config))
    scenes = [member.scene for member in members]
    ids = [member.clip_id for member in members]
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        make_world(world, config)
        captioner = Captioner(options.model)
        started = time.perf_counter()
        captions = caption_world(captioner, world, ids, options.strategy, options.prompt)
        seconds = time.perf_counter() - started
    rows = []
    for title, wanted in (("seen in training", False), ("unseen combination", True)):
        chosen = [i for i, scene in enumerate(scenes) if is_held_out(scene) == wanted]
        found = accuracy([captions[i] for i in chosen], [scenes[i] for i in chosen])
        rows.append((title, found))
    print(table(rows))
    print(f"{len(captions) / seconds:.1f} clips a second; key frames: {options.strategy}")
    if options.errors:
        for clip_id, caption, scene in zip(ids, captions, scenes, strict=True):
            if caption != scene.caption:
                print(f"{clip_id}: {caption!r} should be {scene.caption!r}")


if __name__ == "__main__":
    main()
