"""Short names of published models, and what is known of those without their files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mama_augment.caption.input.layout import PictureSize


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A short name of a published model, and what is known of it without its files."""

    hub_id: str
    model_type: str
    size: PictureSize
    """Of a grid for it behind a server, where its files are not to be seen."""


def _alias(hub_id: str, model_type: str, side_px: int, step_px: int | None = None) -> Alias:
    size = PictureSize(width_px=side_px, height_px=side_px, step_px=step_px)
    return Alias(hub_id=hub_id, model_type=model_type, size=size)


ALIASES = {
    "llava": _alias("llava-hf/llava-1.5-7b-hf", "llava", 336),
    "llava-13b": _alias("llava-hf/llava-1.5-13b-hf", "llava", 336),
    "llava-next": _alias("llava-hf/llava-v1.6-mistral-7b-hf", "llava_next", 672),
    "llava-next-video": _alias("llava-hf/LLaVA-NeXT-Video-7B-hf", "llava_next_video", 672),
    "llava-onevision": _alias("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava_onevision", 768),
    "qwen2.5-vl": _alias("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", 672, 28),
    "qwen3-vl": _alias("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl", 768, 32),
    "qwen3-vl-4b": _alias("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl", 768, 32),
    "qwen3-vl-30b": _alias("Qwen/Qwen3-VL-30B-A3B-Instruct", "qwen3_vl_moe", 768, 32),
    "qwen3.5": _alias("Qwen/Qwen3.5-9B", "qwen3_5", 768, 32),
    "internvl": _alias("OpenGVLab/InternVL3-8B-hf", "internvl", 896),
    "internvl3.5": _alias("OpenGVLab/InternVL3_5-8B-HF", "internvl", 896),
    "gemma3": _alias("google/gemma-3-4b-it", "gemma3", 896),
    "gemma4": _alias("google/gemma-4-E2B-it", "gemma4", 768, 48),
    "mistral-small": _alias("mistralai/Mistral-Small-3.1-24B-Instruct-2503", "mistral3", 756, 28),
    "smolvlm2": _alias("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm", 1024),
}


def kin(name: str) -> Alias | None:
    """The known model whose name this one's contains, the longest first: `Qwen3-VL-235B-A22B` is
    a kin of `Qwen3-VL-8B`."""
    plain = _letters(name)
    kin = {_letters(alias.hub_id.split("/")[1]): alias for alias in ALIASES.values()}
    stems = {_letters(re.split(r"-\d+(?:\.\d+)?B", a.hub_id.split("/")[1], flags=re.I)[0]): a
             for a in ALIASES.values()}  # fmt: skip
    for stem, alias in sorted((stems | kin).items(), key=lambda item: -len(item[0])):
        if stem in plain:
            return alias
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
