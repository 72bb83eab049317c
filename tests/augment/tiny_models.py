"""Random captioners small enough to build in a test, stored as their published kin are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mama_augment.caption.engines.base import CaptionRequest, SamplingConfig
from mama_augment.caption.input.shown import Shown


def make_llava(directory: Path, seed: int = 0) -> Path:
    """An untrained LLaVA with a tokenizer for any text; about 0.1 M parameters, 48 px grids."""
    import torch

    from mama_augment.shapes.captioner.tiny_llava import (
        TinyLlavaConfig,
        build_model,
        build_processor,
        build_tokenizer,
        save,
    )

    torch.manual_seed(seed)
    config = TinyLlavaConfig(
        image_size_px=48, patch_size_px=12, width=32, num_vision_layers=2, num_text_layers=2
    )
    words = ["a red circle moves left, then grows", "USER: describe the video ASSISTANT:"] * 30
    tokenizer = build_tokenizer(config, words)
    model = build_model(config)
    with torch.no_grad():  # so that captions differ from clip to clip
        for parameter in model.parameters():
            parameter.mul_(3.0)
    save(model, build_processor(config, tokenizer), directory)
    return directory


def requests(
    number: int,
    *,
    size_px: int = 48,
    n: int = 1,
    temperature: float = 0.0,
    max_tokens: int = 8,
    prompt: str = "describe the video",
) -> list[CaptionRequest]:
    """Requests about pictures of noise, each its own."""
    rng = np.random.default_rng(0)
    return [
        CaptionRequest(
            request_id=str(i),
            shown=Shown(
                input="grid",
                images=(rng.integers(0, 256, (size_px, size_px, 3)).astype(np.uint8),),
            ),
            prompt=prompt,
            sampling=SamplingConfig(temperature=temperature, max_tokens=max_tokens),
            seed=100 * i,
            n=n,
        )
        for i in range(number)
    ]
