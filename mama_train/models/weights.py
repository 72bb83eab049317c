"""What a model folder holds: its config, how its pictures are made, and its weights, which are
loaded strictly: whatever does not fit is an error that names it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mama_augment.core.errors import InputError
from mama_train.models.specs import Fit, FrameSpec

MOST_JSON_BYTES = 32 * 2**20
WEIGHTS = "model.safetensors"
PICKLES = ("pytorch_model.bin", "pytorch_model.pt")
"""Names under which weights are published otherwise."""
IS_PICKLE = (
    f"is a pickle; weights are read from {WEIGHTS} only. If you trust it, convert it in its "
    'folder: python -c "import torch, safetensors.torch as s; '
    "t = torch.load('{name}', weights_only=True); "
    f"s.save_file(t.get('state_dict', t), '{WEIGHTS}')\""
)
MAY_BE_NEW = (
    "vision_model.embeddings.added_cls",
    "vision_model.embeddings.temporal_embedding",
)
"""Parameters of CLIP-ViP that plain CLIP weights lack; they keep their initial values."""


def load_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    may_be_new: Collection[str] = MAY_BE_NEW,
) -> list[str]:
    """Put `weights` into `model` and return the names of parameters that stay new.

    Accepts official CLIP-ViP names (`clipmodel.` in front), Hugging Face CLIP names, and the
    position-number buffers that both may hold.

    Raises:
        InputError: anything else is missing, left over or of another shape.
    """
    own = model.state_dict()
    given = {k.removeprefix("clipmodel."): v for k, v in weights.items()}
    given = {k: v for k, v in given.items() if not k.endswith("position_ids")}
    missing = sorted(set(own) - set(given))
    unknown = sorted(set(given) - set(own))
    shapes = [
        f"{k} {tuple(given[k].shape)} instead of {tuple(own[k].shape)}"
        for k in sorted(set(own) & set(given))
        if own[k].shape != given[k].shape
    ]
    new = [k for k in missing if k in may_be_new]
    problems = {
        "missing": [k for k in missing if k not in may_be_new],
        "left over": unknown,
        "other shape": shapes,
    }
    found = [f"{what}: {', '.join(names)}" for what, names in problems.items() if names]
    if found:
        raise InputError(f"the weights in {source} do not fit this model; {'; '.join(found)}")
    model.load_state_dict(given, strict=False)
    return new


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state_dict in a `.safetensors` file.

    Raises:
        InputError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{str(path)!r} cannot be read as safetensors: {error}") from error


def find_weights(folder: Path) -> Path:
    """The weights file of a model folder.

    Raises:
        InputError: there is none, or a pickle, which could run code where it is read.
    """
    if (found := folder / WEIGHTS).is_file():
        return found
    refuse_pickles(folder)
    raise InputError(f"{str(folder)!r} holds no weights; looked for {WEIGHTS}")


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder whose only weights are pickles.

    Raises:
        InputError: saying how to convert them.
    """
    if any(folder.glob("*.safetensors")):
        return
    for name in PICKLES:
        if (folder / name).is_file():
            raise InputError(f"{str(folder / name)!r} {IS_PICKLE.format(name=name)}")


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder.

    Raises:
        InputError: there is none.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{str(folder)!r} is not a model folder: it has no config.json")
    return read_object(path)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: it is not one, or longer than any config.
    """
    if (size := path.stat().st_size) > MOST_JSON_BYTES:
        raise InputError(f"{str(path)!r} has {size:,} bytes; at most {MOST_JSON_BYTES:,} are read")
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} holds no JSON object")
    return content


def read_frames(folder: Path, usual: FrameSpec) -> FrameSpec:
    """How a folder's image processor makes a picture: cropped or stretched, and with which pixel
    statistics; `usual` where the folder has no processor.

    Raises:
        InputError: the processor makes pictures of another size than the model takes.
    """
    found: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        content = read_object(path) if path.is_file() else {}
        found |= content.get("image_processor", content if "image_mean" in content else {})
    if not found:
        return usual
    sizes = found.get("size") or {}
    has_sides = isinstance(sizes, dict) and "height" in sizes
    crops = bool(found.get("do_center_crop"))
    made = found.get("crop_size") if crops else sizes
    side = made.get("height") if isinstance(made, dict) else made
    if side is not None and side != usual.size_px:
        raise InputError(
            f"{str(folder)!r}: its image processor makes pictures of {side} px, its model takes "
            f"{usual.size_px}; mend preprocessor_config.json, or give the model's own"
        )
    fit: Fit = "stretch" if has_sides and not crops else "crop"
    return dataclasses.replace(
        usual,
        fit=fit,
        mean=tuple(found.get("image_mean", usual.mean)),
        std=tuple(found.get("image_std", usual.std)),
    )
