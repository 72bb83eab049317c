"""Folders of transformers models, and pictures as they take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mama_augment.core.errors import InputError
from mama_augment.core.shared.hub import hub_folder
from mama_augment.regions.base import Image

AT_ONCE = 8
"""Frames of one pass."""


def locate(name: str, aliases: Mapping[str, str], option: str) -> Path:
    """A local folder, by itself or by an alias of the hub.

    Raises:
        InputError: neither.
    """
    if name in aliases:
        return hub_folder(aliases[name])
    if (Path(name) / "config.json").is_file():
        return Path(name)
    raise InputError(
        f"{option} is {name!r}: neither a folder of transformers with a config.json nor one of "
        f"{', '.join(aliases)}"
    )


def load(kind: Any, folder: Path) -> tuple[Any, torch.device]:
    """A model in evaluation mode, on a GPU where there is one.

    Raises:
        InputError: it cannot be loaded, or weights are missing.
    """
    try:
        model, info = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{str(folder)!r} cannot be loaded: {error}") from error
    if missing := [*info["missing_keys"], *info["mismatched_keys"]]:
        raise InputError(f"{str(folder)!r} lacks weights: {', '.join(map(str, missing[:5]))}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(device).eval(), device


class Pictures:
    """Frames to pixels, stretched to the size and with the statistics of a folder's
    `preprocessor_config.json`."""

    def __init__(self, folder: Path, *, size_px: int | None = None) -> None:
        path = folder / "preprocessor_config.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        size = found.get("size") or {}
        side = size.get("height") or size.get("shortest_edge") or 640
        self.size_px = size_px or int(side)
        is_normal = found.get("do_normalize", "image_mean" in found)
        self.mean = np.array(found.get("image_mean", [0.0] * 3) if is_normal else [0.0] * 3)
        self.std = np.array(found.get("image_std", [1.0] * 3) if is_normal else [1.0] * 3)

    def batches(self, frames: Sequence[Image], device: torch.device) -> list[torch.Tensor]:
        """float32 [b,3,H,H] each."""
        side = (self.size_px, self.size_px)
        pixels = [
            (cv2.resize(frame, side, interpolation=cv2.INTER_LINEAR) / 255 - self.mean) / self.std
            for frame in frames
        ]
        whole = torch.from_numpy(np.stack(pixels).astype(np.float32)).permute(0, 3, 1, 2)
        return [part.to(device) for part in whole.split(AT_ONCE)]
