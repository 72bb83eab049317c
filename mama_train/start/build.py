"""Models by name: those from nothing, a folder or alias of weights, or a checkpoint.

What a folder is, its `config.json` says: `mama_train` (written by this program) or the model type
of transformers. A CLIP folder can be taken in two ways, CLIP-ViP or the mean of its frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from mama_augment.core.errors import InputError
from mama_augment.core.shared.hub import hub_folder
from mama_train.models import small
from mama_train.models.answers import CONFIG_KEY, PREFIX, answers_of, head_file
from mama_train.models.base import DualEncoder
from mama_train.models.clip_mean import ClipMean
from mama_train.models.clip_vip import ClipVip, ClipVipConfig
from mama_train.models.config import FROM_NOTHING, HEADS, SMALL, VGT_TINY, VIOLET_TINY
from mama_train.models.heads import MAX_TOKENS, Heads, HeadsConfig
from mama_train.models.specs import FrameSpec, RegionSpec
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.weights import (
    find_weights,
    load_weights,
    read_config,
    read_frames,
    read_weights,
)
from mama_train.start import vgt, violet

ALIASES = {
    "clip-vip-b32": "openai/clip-vit-base-patch32",
    "clip-vip-b16": "openai/clip-vit-base-patch16",
    "clip-mean-b32": "openai/clip-vit-base-patch32",
    "clip-mean-b16": "openai/clip-vit-base-patch16",
    "siglip-b16": "google/siglip-base-patch16-224",
    "siglip2-b16": "google/siglip2-base-patch16-224",
}
CLIP_VIP, CLIP_MEAN, VIOLET, VGT = "clip-vip", "clip-mean", "violet", "vgt"
PREFIXES = tuple(f"{kind}:" for kind in (CLIP_VIP, CLIP_MEAN, VIOLET, VGT))
TINY_TOKENS = 32
"""Of the small cross-modal models."""
KINDS = {"clip": CLIP_VIP, "clip-vip": CLIP_VIP, "siglip": CLIP_MEAN, "siglip2": CLIP_MEAN}
"""How a folder is taken, by its model type."""


Built = tuple[DualEncoder, TextTokenizer, list[str]]
"""A model, its tokenizer, and the names of parameters that start anew beside given weights."""


def build(
    name: str,
    texts: Iterable[str],
    *,
    seed: int,
    num_frames: int | None = None,
    heads: Callable[[], HeadsConfig] | None = None,
    regions: Callable[[], RegionSpec] | None = None,
) -> Built:
    """A model to train.

    Args:
        name: one of `FROM_NOTHING`; an alias; or a folder of CLIP-ViP, CLIP or SigLIP weights, or
            one of `mama-train export`. The prefix `clip-mean:` or `clip-vip:` chooses how a CLIP
            folder treats frames (the default is clip-vip); `violet:` and `vgt:` take published
            weights of these.
        texts: training texts; models from nothing make their words of them.
        heads, regions: the sizes of `heads` and of VGT's videos, which depend on the shards.

    Raises:
        InputError: the folder cannot be found or does not fit.
    """
    torch.manual_seed(seed)
    if name in FROM_NOTHING:
        return _from_nothing(name, texts, num_frames, heads, regions)
    kind, folder = locate(name)
    if kind in (VIOLET, VGT):
        return _cross_modal(folder, kind, num_frames, regions)
    config = read_config(folder)
    if "mama_train_frames" in config and kind in ("", _kind_of(config, folder)):
        return (*build_from_checkpoint(folder, num_frames=num_frames), [])
    return _from_published(folder, kind or _kind_of(config, folder), num_frames)


def _from_nothing(
    name: str,
    texts: Iterable[str],
    num_frames: int | None,
    heads: Callable[[], HeadsConfig] | None,
    regions: Callable[[], RegionSpec] | None,
) -> Built:
    lengths = {SMALL: small.MAX_TOKENS, HEADS: MAX_TOKENS}
    tokenizer = TextTokenizer.of_words(texts, max_tokens=lengths.get(name, TINY_TOKENS))
    if name == HEADS:
        assert heads is not None
        sizes = dataclasses.replace(heads(), vocab_size=tokenizer.vocab_size)
        return Heads(sizes), tokenizer, []
    if name == VIOLET_TINY:
        return violet.tiny(tokenizer, num_frames), tokenizer, []
    if name == VGT_TINY:
        assert regions is not None
        return vgt.tiny(tokenizer, regions()), tokenizer, []
    vip = ClipVip(small.small_config(tokenizer.vocab_size), num_frames=num_frames)
    small.initialise_from_nothing(vip)
    return vip, tokenizer, []


def _cross_modal(
    folder: Path, kind: str, num_frames: int | None, regions: Callable[[], RegionSpec] | None
) -> Built:
    """Of published weights beside a tokenizer (BERT's) and, where sizes are not the published ones,
    a config.json; or of a folder that this program wrote."""
    path = folder / "config.json"
    config = read_config(folder) if path.is_file() else {}
    if "mama_train_frames" in config:
        return (*build_from_checkpoint(folder, num_frames=num_frames), [])
    tokenizer, file = TextTokenizer.load(folder), find_weights(folder)
    if kind == VIOLET:
        of_violet, new = violet.of_published(file, config, num_frames)
        return of_violet, tokenizer, new
    if regions is None:
        raise InputError(f"vgt:{folder} needs the shards' regions: it is trained before measured")
    of_vgt, new = vgt.of_published(file, config, regions())
    return of_vgt, tokenizer, new


def build_to_measure(
    name: str, *, num_frames: int | None = None
) -> tuple[DualEncoder, TextTokenizer, list[str]]:
    """(model, tokenizer, notes) of a model as it is, before any training: for zero-shot retrieval.

    CLIP weights without CLIP-ViP's own parts are taken as the mean of frames, since CLIP-ViP would
    begin with parts that nobody has trained; `clip-vip:` in front takes it nevertheless.
    """
    kind, folder = locate(name)
    model, tokenizer, new = build(name, [], seed=0, num_frames=num_frames)
    if not new:
        return model, tokenizer, []
    lacks = f"the weights in {str(folder)!r} lack {', '.join(new)}"
    if kind in (CLIP_VIP, VIOLET, VGT):
        return model, tokenizer, [f"{lacks}; these are measured as a run would start them"]
    model, tokenizer, _ = build(f"{CLIP_MEAN}:{folder}", [], seed=0, num_frames=num_frames)
    return model, tokenizer, [f"{lacks}: CLIP is measured as the mean of its frames (clip-mean:)"]


def build_from_checkpoint(
    folder: Path, *, num_frames: int | None = None
) -> tuple[DualEncoder, TextTokenizer]:
    """A model exactly as `checkpoint.save_model` or `mama-train export` wrote it.

    Raises:
        InputError: files are missing or do not fit each other.
    """
    config = read_config(folder)
    answers = answers_of(config)
    config.pop(CONFIG_KEY, None)
    own: dict[str, Any] = config.pop("mama_train_frames", {})
    own = {k: tuple(v) if isinstance(v, list) else v for k, v in own.items()}
    own["num_frames"] = num_frames or own.get("num_frames", 12)
    path = find_weights(folder)
    weights = read_weights(path)
    tokenizer = TextTokenizer.load(folder)
    model: DualEncoder
    kind = _kind_of(config, folder)
    if kind == CLIP_MEAN and not any(name.startswith("inner.") for name in weights):  # exported
        model = ClipMean.from_folder(folder, num_frames=own["num_frames"])
        weights = model.state_dict()
    else:
        model = _of_json(kind, config, own)
    if answers is not None:
        model.answer_with(answers, tokenizer)
        if head_file(folder).is_file():  # exported
            given = read_weights(head_file(folder))
            weights |= {PREFIX + name: tensor for name, tensor in given.items()}
    if new := load_weights(model, weights, source=str(path)):
        raise InputError(f"{path} lacks {', '.join(new)}")
    if isinstance(model.frame_spec, FrameSpec):
        model.see(dataclasses.replace(model.frame_spec, **own))
    return model, tokenizer


def _of_json(kind: str, config: dict[str, Any], frames: dict[str, Any]) -> DualEncoder:
    """With initial weights. frames: what the checkpoint saw of a clip."""
    if kind == VIOLET:
        return violet.of_json(config)
    if kind == VGT:
        return vgt.of_json(config, frames)
    num_frames = frames["num_frames"]
    if kind == HEADS:
        return Heads(HeadsConfig.from_json(config, num_frames=num_frames))
    if kind == CLIP_MEAN:
        return ClipMean.from_json(config, num_frames=num_frames)
    return ClipVip(ClipVipConfig.from_json(config), num_frames=num_frames)


def _from_published(folder: Path, kind: str, num_frames: int | None) -> Built:
    """Of a folder in Hugging Face layout, with the pictures that its processor makes."""
    tokenizer = TextTokenizer.load(folder)
    new: list[str] = []
    model: DualEncoder
    if kind == CLIP_MEAN:
        frames = {} if num_frames is None else {"num_frames": num_frames}
        model = ClipMean.from_folder(folder, **frames)
    else:
        model = ClipVip(ClipVipConfig.from_json(read_config(folder)), num_frames=num_frames)
        path = find_weights(folder)
        new = load_weights(model, read_weights(path), source=str(path))
        _check_end(tokenizer, folder)
    assert isinstance(model.frame_spec, FrameSpec)
    model.see(read_frames(folder, model.frame_spec))
    return model, tokenizer, new


def _check_end(tokenizer: TextTokenizer, folder: Path) -> None:
    """CLIP-ViP reads a text at its largest token id, which has to be the end."""
    end = tokenizer.fast.eos_token_id
    if end is None or end < tokenizer.vocab_size - 1:
        raise InputError(
            f"{str(folder)!r}: the end token has the id {end}, and there are ids up to "
            f"{tokenizer.vocab_size - 1}; CLIP-ViP reads a text at its largest id. Give the folder "
            "as `clip-mean:FOLDER`, or a tokenizer without added tokens"
        )


def _kind_of(config: dict[str, Any], folder: Path) -> str:
    """How a folder with this config is taken.

    Raises:
        InputError: it is of another kind of model.
    """
    model_type = str(config.get("model_type", "clip"))
    if (kind := config.get("mama_train")) in (CLIP_MEAN, HEADS, VIOLET, VGT):
        return str(kind)
    if model_type not in KINDS:
        raise InputError(
            f"{str(folder)!r} holds a model of the type {model_type!r}; allowed: {', '.join(KINDS)}"
        )
    return KINDS[model_type]


def locate(name: str) -> tuple[str, Path]:
    """(kind of model, or empty where the name does not choose; local folder) of a name.

    Raises:
        InputError: no such folder, here or in the Hugging Face cache.
    """
    prefix = next((p for p in PREFIXES if name.startswith(p)), "")
    kind, rest = prefix.removesuffix(":"), name.removeprefix(prefix)
    if Path(rest).is_dir():
        folder = Path(rest)
        if kind in (VIOLET, VGT):
            return kind, folder
        model_type = str(read_config(folder).get("model_type", "clip"))
        return (CLIP_MEAN if "siglip" in model_type else kind), folder
    if rest not in ALIASES:
        raise InputError(
            f"model {name!r} is neither a folder nor an alias; aliases: "
            f"{', '.join((*FROM_NOTHING, *ALIASES))}; or give a local folder with config.json, "
            "weights, tokenizer"
        )
    chosen = CLIP_MEAN if rest.startswith("siglip") else rest.rpartition("-")[0]
    return kind or chosen, hub_folder(ALIASES[rest])
