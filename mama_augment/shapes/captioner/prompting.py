"""Prompts that the bundled captioner is trained under: any wording has one answer."""

from __future__ import annotations

import numpy as np

from mama_augment.caption.input.prompts import NAMED
from mama_augment.shapes.world.scene import all_scenes

PIPELINE = tuple(NAMED.values())
OTHERS = (
    "Describe the video.",
    "What happens in this video?",
    "Describe what happens, step by step.",
    "Write a caption for the video.",
    "Caption this clip in one short sentence.",
    "What is shown here? Answer in one sentence.",
    "The image shows frames of a video in reading order. What happens in the video?",
    "These are key frames of one clip, from left to right and from top to bottom. Describe it.",
    "Give a brief description of the events in this clip, in the order they happen.",
    "Summarise the clip.",
    "Please tell me what the object does first and what it does next.",
    "You are a careful annotator. Describe only what can be seen, in a single sentence.",
    "Title of the video: holiday clip 12. Describe the main action in the video.",
    "Describe the video",
    "",
)
WORDS = tuple(dict.fromkeys(" ".join((*PIPELINE, *OTHERS)).split()))


def random_prompt(rng: np.random.Generator) -> str:
    """A named prompt, another one, or (one in three) a string of words that means nothing: the
    answer must come from the frames, whatever is asked.
    """
    kind = rng.random()
    if kind < 0.4:
        return PIPELINE[rng.integers(len(PIPELINE))]
    if kind < 0.67:
        return OTHERS[rng.integers(len(OTHERS))]
    if rng.random() < 0.5:
        return " ".join(rng.choice(WORDS, size=rng.integers(1, 20)))
    words = rng.choice(WORDS, size=rng.integers(1, 7))
    # Letters out of order: tokens that no other prompt has.
    return " ".join("".join(rng.permutation(list(word))) for word in words)


def prompt_corpus() -> list[str]:
    """What the tokenizer learns its merges from."""
    captions = [f" {scene.caption}" for scene in all_scenes()]
    return captions + [f"USER: {prompt} ASSISTANT:" for prompt in (*PIPELINE, *OTHERS)] * 50
