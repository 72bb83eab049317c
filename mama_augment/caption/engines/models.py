"""Which model a name means, where it lies, what identifies it, and how large a picture it takes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.shared.hub import hub_folder

ALIASES = {
    "llava": "llava-hf/llava-1.5-7b-hf",
    "llava-13b": "llava-hf/llava-1.5-13b-hf",
    "llava-next": "llava-hf/llava-v1.6-mistral-7b-hf",
    "llava-onevision": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    "qwen2.5-vl": "Qwen/Qwen2.5-VL-7B-Instruct",
    "qwen3-vl": "Qwen/Qwen3-VL-8B-Instruct",
    "internvl": "OpenGVLab/InternVL3-8B-hf",
}
BUNDLED = "llava-shapes"
BUNDLED_DIR = Path(__file__).resolve().parents[2] / "shapes" / "captioner" / "llava"

_SAMPLED_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A family of models: which `model_type` it has, and how large a picture suits it.

    size_px: (config, preprocessor config) to (width, height) of a grid, chosen so that the
    model's own processor neither shrinks nor enlarges it.
    """

    model_type: str
    size_px: Callable[[dict[str, Any], dict[str, Any]], tuple[int, int]]


def _fixed(config: dict[str, Any], processor: dict[str, Any]) -> tuple[int, int]:
    """One picture of one size: what the processor crops or resizes to (336 px for LLaVA-1.5)."""
    size = processor.get("crop_size") if processor.get("do_center_crop", True) else None
    size = size or processor.get("size") or config.get("vision_config", {}).get("image_size")
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return (int(size["shortest_edge"]), int(size["shortest_edge"]))
        return (int(size["width"]), int(size["height"]))
    if isinstance(size, list | tuple):
        return (int(size[1]), int(size[0]))
    assert isinstance(size, int), f"no picture size in the processor's config: {size!r}"
    return (size, size)


def _tiled(config: dict[str, Any], processor: dict[str, Any]) -> tuple[int, int]:
    """Two by two tiles of the vision tower's size, beside the overview that the model adds."""
    width, height = _fixed(config, {k: v for k, v in processor.items() if k != "crop_size"})
    return (2 * width, 2 * height)


def _dynamic(config: dict[str, Any], processor: dict[str, Any]) -> tuple[int, int]:
    """Any size in whole merged patches: 24 x 24 of them, 576 tokens as in LLaVA-1.5."""
    vision = config.get("vision_config", {})
    patch = processor.get("patch_size") or vision.get("patch_size", 14)
    merge = processor.get("merge_size") or vision.get("spatial_merge_size", 2)
    return (24 * patch * merge, 24 * patch * merge)


ARCHITECTURES = {
    a.model_type: a
    for a in (
        Architecture(model_type="llava", size_px=_fixed),
        Architecture(model_type="llava_next", size_px=_tiled),
        Architecture(model_type="llava_onevision", size_px=_tiled),
        Architecture(model_type="qwen2_5_vl", size_px=_dynamic),
        Architecture(model_type="qwen3_vl", size_px=_dynamic),
        Architecture(model_type="internvl", size_px=_tiled),
    )
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that is on this machine."""

    name: str
    """What captions record: the hub id, `llava-shapes`, or the directory's own name."""
    directory: str
    revision: str
    """The hub's commit, or a hash of the directory's files; `as-served:NAME` behind a server."""
    size_px: tuple[int, int]
    """(width, height) of the grids to show it."""


def find(value: str) -> Model:
    """The model that `--model` means: an alias, a hub id, or a local directory.

    Raises:
        InputError: it is none of these, its architecture is not known here, or it is not on this
            machine and the hub cannot be reached.
    """
    if value == BUNDLED:
        return _describe(BUNDLED, BUNDLED_DIR)
    path = Path(value).expanduser()
    if path.is_dir():
        return _describe(path.resolve().name, path)
    hub_id = ALIASES.get(value, value)
    looks_local = path.is_absolute() or value.startswith((".", "~")) or hub_id.count("/") != 1
    if looks_local:
        raise InputError(
            f"--model is {value!r}, which is not a directory; give one of "
            f"{', '.join((*ALIASES, BUNDLED))}, a hub id (owner/name), or a local directory"
        )
    return _describe(hub_id, hub_folder(hub_id))


def served(value: str) -> Model:
    """A model behind a server, which alone knows its files; 336 px pictures unless told otherwise.

    An alias means its hub id, which is the name that servers use by default. The name is all that
    tells such models apart, so it is their revision too.
    """
    name = ALIASES.get(value, value)
    return Model(name=name, directory=name, revision=f"as-served:{name}", size_px=(336, 336))


def _describe(name: str, directory: Path) -> Model:
    config = _read_json(directory / "config.json")
    if config is None:
        raise InputError(
            f"{str(directory)!r} holds no model: there is no config.json in it. Pass a directory "
            "as transformers' save_pretrained writes it"
        )
    model_type = config.get("model_type")
    if model_type not in ARCHITECTURES:
        raise InputError(
            f"{str(directory)!r} holds a model of type {model_type!r}; types that caption grids "
            f"here: {', '.join(ARCHITECTURES)}"
        )
    processor = _processor_config(directory)
    if processor is None:
        raise InputError(
            f"{str(directory)!r} holds no image processor: there is neither a "
            "preprocessor_config.json nor a processor_config.json in it"
        )
    return Model(
        name=name,
        directory=str(directory),
        revision=revision_of(directory),
        size_px=ARCHITECTURES[model_type].size_px(config, processor),
    )


def _processor_config(directory: Path) -> dict[str, Any] | None:
    nested = _read_json(directory / "processor_config.json") or {}
    return nested.get("image_processor") or _read_json(directory / "preprocessor_config.json")


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not valid JSON: {error}") from error


def revision_of(directory: Path) -> str:
    """The hub's commit for a snapshot of its cache, else 16 hex digits over the files' content.

    Of a file above 64 MB its size and 64 evenly spread samples count: retrained weights differ
    everywhere, and reading all of 14 GB would take longer than loading the model.
    """
    absolute = Path(os.path.abspath(directory))
    if absolute.parent.name == "snapshots" and len(absolute.name) == 40:
        return absolute.name
    digest = hashlib.sha256()
    for path in sorted(p for p in absolute.rglob("*") if p.is_file()):
        name = path.relative_to(absolute)
        if any(part.startswith(".") for part in name.parts) or name.suffix == ".md":
            continue  # what is said about a model is no part of it
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(_content_digest(path))
    return digest.hexdigest()[:16]


def _content_digest(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        if size <= _SAMPLED_BYTES:
            digest.update(stream.read())
        else:
            for i in range(64):
                stream.seek(i * (size - 2**16) // 63)
                digest.update(stream.read(2**16))
    return digest.digest()
