"""Loading weights strictly: whatever does not fit is an error that names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError

MAY_BE_NEW = (
    "vision_model.embeddings.added_cls",
    "vision_model.embeddings.temporal_embedding",
)
"""Parameters of CLIP-ViP that plain CLIP weights lack; they keep their initial values."""


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> list[str]:
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
    new = [k for k in missing if k in MAY_BE_NEW]
    problems = {
        "missing": [k for k in missing if k not in MAY_BE_NEW],
        "left over": unknown,
        "other shape": shapes,
    }
    found = [f"{what}: {', '.join(names)}" for what, names in problems.items() if names]
    if found:
        raise InputError(f"the weights in {source} do not fit this model; {'; '.join(found)}")
    model.load_state_dict(given, strict=False)
    return new


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state_dict from `.safetensors`, or from a torch file without running code from it."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    return content.get("state_dict", content) if isinstance(content, dict) else content


def find_weights(folder: Path) -> Path:
    """The weights file of a model folder.

    Raises:
        InputError: there is none.
    """
    names = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pt")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{str(folder)!r} holds no weights; looked for {', '.join(names)}")


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder.

    Raises:
        InputError: there is none.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{str(folder)!r} is not a model folder: it has no config.json")
    return json.loads(path.read_text())
