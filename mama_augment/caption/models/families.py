"""What is known of families of models: how large a grid suits them, and what they can be shown.

No model is refused for not being here: what this table says is better than what can be read from
any model's files, and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mama_augment.caption.input.layout import PictureSize

FALLBACK = PictureSize(width_px=768, height_px=768)
"""For a model of which no size is known: more than a fixed input of 336 to 448 px can use, and
about 600 tokens where a token is 28 to 32 px wide."""

Config = dict[str, Any]
SizeOf = Callable[[Config, Config], PictureSize]
"""(config.json, the image processor's config) to the size of a grid, chosen so that the model's
own processor neither shrinks nor enlarges it."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models of one `model_type`."""

    model_type: str
    size: SizeOf
    inputs: tuple[str, ...] = ("grid", "images")
    """What it was trained to be shown, of INPUTS."""


def fixed_size(config: Config, processor: Config) -> PictureSize:
    """One picture of one size: what the processor crops or resizes to (336 px for LLaVA-1.5).

    A processor that only bounds the longest edge (Pixtral's) takes any shape.
    """
    size = processor.get("crop_size") if processor.get("do_center_crop", True) else None
    size = size or processor.get("size") or _vision(config).get("image_size")
    if isinstance(size, dict):
        if "longest_edge" in size and "shortest_edge" not in size:
            return _bounded(config, processor)
        if "longest_edge" in size:  # bounds of an area, as Qwen's have them
            return FALLBACK
        if "shortest_edge" in size:
            return _square(size["shortest_edge"])
        if "width" in size and "height" in size:
            return PictureSize(width_px=int(size["width"]), height_px=int(size["height"]))
        return FALLBACK
    if isinstance(size, list | tuple) and len(size) == 2:
        return PictureSize(width_px=int(size[1]), height_px=int(size[0]))
    return _square(size) if isinstance(size, int) else FALLBACK


def _tiled(config: Config, processor: Config) -> PictureSize:
    """Two by two tiles of the vision tower's size, beside the overview that the model adds."""
    one = fixed_size(config, {k: v for k, v in processor.items() if k != "crop_size"})
    return PictureSize(width_px=2 * one.width_px, height_px=2 * one.height_px)


def _tiled_without_processor(config: Config, processor: Config) -> PictureSize:
    """InternVL as its authors publish it: the tile's size stands in the model's config."""
    return _square(2 * int(config.get("force_image_size") or 448))


def _split(config: Config, processor: Config) -> PictureSize:
    """SmolVLM cuts what it is given into tiles of `max_image_size`: two by two of them."""
    edge = (processor.get("max_image_size") or {}).get("longest_edge", 512)
    return _square(2 * int(edge))


def _dynamic(config: Config, processor: Config) -> PictureSize:
    """Any shape in whole merged patches: as many as 24 x 24, 576 tokens as in LLaVA-1.5."""
    vision = _vision(config)
    patch = processor.get("patch_size") or vision.get("patch_size", 14)
    merge = processor.get("merge_size") or vision.get("spatial_merge_size", 2)
    step = int(patch) * int(merge)
    return PictureSize(width_px=24 * step, height_px=24 * step, step_px=step)


def _bounded(config: Config, processor: Config) -> PictureSize:
    """Any shape in whole patches up to a longest edge: Pixtral and Mistral 3."""
    patch = processor.get("patch_size") or _vision(config).get("patch_size", 14)
    patch = max(patch.values()) if isinstance(patch, dict) else int(patch)
    step = patch * int(config.get("spatial_merge_size") or 1)
    edge = (processor.get("size") or {}).get("longest_edge") or 768
    side = max(1, min(int(edge), 768) // step) * step
    return PictureSize(width_px=side, height_px=side, step_px=step)


def _pooled(config: Config, processor: Config) -> PictureSize:
    """Gemma 4: any shape, resized to a number of pooled patches (280 tokens of 48 px)."""
    step = int(processor.get("patch_size", 16)) * int(processor.get("pooling_kernel_size", 3))
    side = int(int(processor.get("max_soft_tokens", 280)) ** 0.5) * step
    return PictureSize(width_px=side, height_px=side, step_px=step)


def _vision(config: Config) -> Config:
    return dict(config.get("vision_config") or {})


def _square(side: Any) -> PictureSize:
    return PictureSize(width_px=int(side), height_px=int(side))


_VIDEO = ("grid", "images", "video")
FAMILIES = {
    family.model_type: family
    for family in (
        Family(model_type="llava", size=fixed_size),
        Family(model_type="llava_next", size=_tiled),
        Family(model_type="llava_next_video", size=_tiled, inputs=_VIDEO),
        Family(model_type="video_llava", size=fixed_size, inputs=_VIDEO),
        Family(model_type="llava_onevision", size=_tiled, inputs=_VIDEO),
        Family(model_type="qwen2_vl", size=_dynamic, inputs=_VIDEO),
        Family(model_type="qwen2_5_vl", size=_dynamic, inputs=_VIDEO),
        Family(model_type="qwen3_vl", size=_dynamic, inputs=_VIDEO),
        Family(model_type="qwen3_vl_moe", size=_dynamic, inputs=_VIDEO),
        Family(model_type="qwen3_5", size=_dynamic, inputs=_VIDEO),
        Family(model_type="qwen3_5_moe", size=_dynamic, inputs=_VIDEO),
        Family(model_type="glm4v", size=_dynamic, inputs=_VIDEO),
        Family(model_type="glm4v_moe", size=_dynamic, inputs=_VIDEO),
        Family(model_type="internvl", size=_tiled, inputs=_VIDEO),
        Family(model_type="internvl_chat", size=_tiled_without_processor, inputs=_VIDEO),
        Family(model_type="smolvlm", size=_split, inputs=_VIDEO),
        Family(model_type="gemma3", size=fixed_size),
        Family(model_type="gemma4", size=_pooled, inputs=_VIDEO),
        Family(model_type="mistral3", size=_bounded),
    )
}


def inputs_of(config: Config, *, has_video_processor: bool) -> tuple[str, ...]:
    """What a model of no known family can be shown, from its files."""
    names_video = any(
        config.get(name) is not None for name in ("video_token_id", "video_token_index")
    )
    return _VIDEO if has_video_processor or names_video else ("grid", "images")


def default_input(inputs: tuple[str, ...]) -> str:
    """Video where the model takes it, else the paper's grid: one picture costs least."""
    return "video" if "video" in inputs else "grid"
