"""Models by name: `small`, `heads`, a folder or alias of weights, or a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from mama_augment.core.errors import InputError
from mama_augment.core.shared.hub import MODEL_FILES, hub_folder
from mama_train.models.base import DualEncoder
from mama_train.models.clip_mean import ClipMean
from mama_train.models.clip_vip import ClipVip, ClipVipConfig, TowerConfig
from mama_train.models.config import FROM_NOTHING, HEADS, SMALL
from mama_train.models.heads import MAX_TOKENS, Heads, HeadsConfig
from mama_train.models.initial import initialise_from_nothing
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.weights import find_weights, load_weights, read_config, read_weights

ALIASES = {
    "clip-vip-b32": "openai/clip-vit-base-patch32",
    "clip-vip-b16": "openai/clip-vit-base-patch16",
    "clip-mean-b32": "openai/clip-vit-base-patch32",
    "clip-mean-b16": "openai/clip-vit-base-patch16",
    "siglip-b16": "google/siglip-base-patch16-224",
}
SMALL_MAX_TOKENS = 24


def small_config(vocab_size: int) -> ClipVipConfig:
    """CLIP-ViP for a CPU and training from nothing: six 32 px frames of 4x4 patches each, after
    two convolutions."""
    vision = TowerConfig(
        hidden_size=96, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4
    )
    text = TowerConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
    )
    return ClipVipConfig(
        text=text,
        vision=vision,
        projection_dim=64,
        vocab_size=vocab_size,
        max_text_tokens=SMALL_MAX_TOKENS,
        image_size=32,
        patch_size=8,
        temporal_size=6,
        logit_scale_init=2.66,
        stem_channels=(32, 64),
    )


def build(
    name: str,
    texts: Iterable[str],
    *,
    seed: int,
    num_frames: int | None = None,
    heads: Callable[[], HeadsConfig] | None = None,
) -> tuple[DualEncoder, TextTokenizer, list[str]]:
    """(model, tokenizer, names of parameters that start anew although weights were given).

    Args:
        name: `small`; `heads`; an alias; or a folder of CLIP-ViP, CLIP or SigLIP weights. The
            prefix `clip-mean:` or `clip-vip:` chooses how a CLIP folder treats frames (the
            default is clip-vip).
        texts: training texts; models from nothing make their words of them.
        heads: the sizes of `heads`, which depend on the features.

    Raises:
        InputError: the folder cannot be found or does not fit.
    """
    torch.manual_seed(seed)
    if name == SMALL:
        tokenizer = TextTokenizer.of_words(texts, max_tokens=SMALL_MAX_TOKENS)
        model = ClipVip(small_config(tokenizer.vocab_size), num_frames=num_frames)
        initialise_from_nothing(model)
        return model, tokenizer, []
    if name == HEADS:
        assert heads is not None
        tokenizer = TextTokenizer.of_words(texts, max_tokens=MAX_TOKENS)
        sizes = dataclasses.replace(heads(), vocab_size=tokenizer.vocab_size)
        return Heads(sizes), tokenizer, []
    kind, folder = locate(name)
    frames = {} if num_frames is None else {"num_frames": num_frames}
    tokenizer = TextTokenizer.load(folder)
    if kind == "clip-mean":
        return ClipMean.from_folder(folder, **frames), tokenizer, []
    vip = ClipVip(ClipVipConfig.from_json(read_config(folder)), **frames)
    path = find_weights(folder)
    return vip, tokenizer, load_weights(vip, read_weights(path), source=str(path))


def build_from_checkpoint(
    folder: Path, *, num_frames: int | None = None
) -> tuple[DualEncoder, TextTokenizer]:
    """A model exactly as `checkpoint.save_model` or `mama-train export` wrote it.

    Raises:
        InputError: files are missing or do not fit each other.
    """
    config = read_config(folder)
    own: dict[str, Any] = config.pop("mama_train_frames", {})
    frames = {"num_frames": num_frames or own.get("num_frames", 12)}
    path = find_weights(folder)
    weights = read_weights(path)
    model: DualEncoder
    if config.get("mama_train") == "clip-mean":
        if not any(name.startswith("inner.") for name in weights):  # exported
            return ClipMean.from_folder(folder, **frames), TextTokenizer.load(folder)
        model = ClipMean.from_json(config, **frames)
    elif config.get("mama_train") == HEADS:
        model = Heads(HeadsConfig.from_json(config, **frames))
    else:
        model = ClipVip(ClipVipConfig.from_json(config), **frames)
    new = load_weights(model, weights, source=str(path))
    if new:
        raise InputError(f"{path} lacks {', '.join(new)}")
    return model, TextTokenizer.load(folder)


def locate(name: str) -> tuple[str, Path]:
    """(clip-vip or clip-mean, local folder) of a model name.

    Raises:
        InputError: no such folder, here or in the Hugging Face cache.
    """
    kind, _, rest = (
        name.rpartition(":")
        if name.startswith(("clip-mean:", "clip-vip:"))
        else (
            "",
            "",
            name,
        )
    )
    if Path(rest).is_dir():
        folder = Path(rest)
        model_type = str(read_config(folder).get("model_type", "clip"))
        if "siglip" in model_type:
            return "clip-mean", folder
        return kind or "clip-vip", folder
    if rest not in ALIASES:
        raise InputError(
            f"model {name!r} is neither a folder nor an alias; aliases: "
            f"{', '.join((*FROM_NOTHING, *ALIASES))}; or give a local folder with config.json, "
            "weights, tokenizer"
        )
    kind = "clip-vip" if rest.startswith("clip-vip") else "clip-mean"
    return kind, hub_folder(ALIASES[rest], (*MODEL_FILES, "*.bin"))
