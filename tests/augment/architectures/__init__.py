"""Each family of captioners in miniature: random weights, its own processor and picture size, and
a chat template built as the published one is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.augment.architectures import llava, others, qwen

MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "llava": llava.llava,
    "llava_next": llava.llava_next,
    "llava_next_video": llava.llava_next_video,
    "llava_onevision": llava.llava_onevision,
    "qwen2_vl": qwen.qwen2_vl,
    "qwen2_5_vl": qwen.qwen2_5_vl,
    "qwen3_vl": qwen.qwen3_vl,
    "qwen3_vl_moe": qwen.qwen3_vl_moe,
    "qwen3_5": qwen.qwen3_5,
    "internvl": others.internvl,
    "gemma3": others.gemma3,
    "smolvlm": others.smolvlm,
    "mistral3": others.mistral3,
}


def make(model_type: str, directory: Path) -> Path:
    """Save a random model of `model_type` with its processor."""
    import torch

    torch.manual_seed(0)
    model, processor = MAKERS[model_type]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():  # Gemma's projection would see nothing
                parameter.normal_(std=0.02)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    if model_type.startswith(("llava", "gemma3")):
        _name_as_published(directory / "model.safetensors")
    return directory


def _name_as_published(path: Path) -> None:
    """Give a vision tower of CLIP's shape the names of published files, which vLLM knows alone."""
    from safetensors.torch import load_file, save_file

    published = {
        re.sub(r"^vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(published, path, metadata={"format": "pt"})
