"""Which model a name means, where it lies, what identifies it, and what it wants to be shown."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mama_augment.caption.input.layout import GridLayout, PictureSize
from mama_augment.caption.models.aliases import ALIASES, kin
from mama_augment.caption.models.families import (
    FALLBACK,
    FAMILIES,
    default_input,
    fixed_size,
    inputs_of,
)
from mama_augment.caption.models.safe import (
    check_picture,
    check_sizes,
    check_weights,
    read_json,
)
from mama_augment.core.errors import InputError
from mama_augment.core.shared.hub import CODE_FILES, MODEL_FILES, hub_folder

BUNDLED = "llava-shapes"
BUNDLED_DIR = Path(__file__).resolve().parents[2] / "shapes" / "captioner" / "llava"
BUNDLED_GRID = GridLayout(rows=3, columns=4)
"""The only layout that it was trained on."""


_SAMPLED_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that is on this machine, or behind a server."""

    name: str
    """What captions record: the hub id, `llava-shapes`, or the directory's own name."""
    directory: str
    revision: str
    """The hub's commit, or a hash of the directory's files; `as-served:NAME` behind a server."""
    size: PictureSize
    """Of the grids to show it."""
    inputs: tuple[str, ...] = ("grid", "images", "video")
    default_input: str = "grid"
    grid: GridLayout | None = None
    """The layout that it needs; None: any."""
    guessed: str = ""
    """What is not known of it and was assumed; nothing where all is known."""


def find(value: str, *, revision: str | None = None, with_code: bool = False) -> Model:
    """The model that `--model` means: an alias, a hub id, or a local directory.

    revision: a branch, tag or commit of the hub. with_code: fetch the repository's Python too.

    Raises:
        InputError: it is none of these, holds no model that can be shown pictures, or is not on
            this machine and the hub cannot be reached.
    """
    path = BUNDLED_DIR if value == BUNDLED else Path(value).expanduser()
    if path.is_dir():
        if revision is not None:
            raise InputError(
                f"--revision is {revision!r}, but --model {value!r} is a directory, whose files "
                "are what they are; leave it out, or give a hub id (owner/name)"
            )
        name = BUNDLED if path.resolve() == BUNDLED_DIR else path.resolve().name
        return _describe(name, path)
    hub_id = ALIASES[value].hub_id if value in ALIASES else value
    looks_local = path.is_absolute() or value.startswith((".", "~")) or hub_id.count("/") != 1
    if looks_local:
        raise InputError(
            f"--model is {value!r}, which is not a directory; give one of "
            f"{', '.join((*ALIASES, BUNDLED))}, a hub id (owner/name), or a local directory"
        )
    files = (*MODEL_FILES, *CODE_FILES) if with_code else MODEL_FILES
    return _describe(hub_id, hub_folder(hub_id, files, revision=revision))


def served(value: str) -> Model:
    """A model behind a server, which alone knows its files.

    An alias means its hub id, which is the name that servers use by default; a name that contains
    a known one's is taken for its kin. The name is all that tells such models apart, so it is
    their revision too. Every server takes pictures as parts of a message; `--input video` is for
    those that take `video_url`.
    """
    alias = ALIASES.get(value) or kin(value)
    name = ALIASES[value].hub_id if value in ALIASES else value
    revision = f"as-served:{name}"
    if alias is None:
        size = str(FALLBACK)
        return Model(
            name=name,
            directory=name,
            revision=revision,
            size=FALLBACK,
            guessed=f"{name} is not a model known here: a grid has {size} (--picture-px)",
        )
    known = FAMILIES[alias.model_type]
    takes_many = "video" in known.inputs
    return Model(
        name=name,
        directory=name,
        revision=revision,
        size=alias.size,
        default_input="images" if takes_many else "grid",
    )


def _describe(name: str, directory: Path) -> Model:
    config = read_json(directory / "config.json")
    if config is None:
        raise InputError(
            f"{str(directory)!r} holds no model: there is no config.json in it. Pass a directory "
            "as transformers' save_pretrained writes it"
        )
    check_weights(directory)
    check_sizes(config, directory)
    model_type = config.get("model_type")
    family = FAMILIES.get(str(model_type))
    processor = _processor_config(directory)
    has_video = _has_video_processor(directory)
    if processor is None and not has_video and family is None:
        raise InputError(
            f"{str(directory)!r} holds a model of type {model_type!r} and no image processor: "
            "there is neither a preprocessor_config.json nor a processor_config.json in it. "
            "Take a model that can be shown pictures"
        )
    if processor is None and family is not None and family.model_type != "internvl_chat":
        raise InputError(
            f"{str(directory)!r} holds no image processor: there is neither a "
            "preprocessor_config.json nor a processor_config.json in it"
        )
    try:
        size = (family.size if family else fixed_size)(config, processor or {})
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, AttributeError) as error:
        raise InputError(
            f"{str(directory)!r}: the sizes in its config cannot be: {error}"
        ) from error
    check_picture(size.width_px, size.height_px, directory)
    inputs = family.inputs if family else inputs_of(config, has_video_processor=has_video)
    guessed = ""
    if family is None:
        guessed = (
            f"models of type {model_type!r} are not known here: tried with --input "
            f"{default_input(inputs)}; a grid has {size} (--picture-px)"
        )
    return Model(
        name=name,
        directory=str(directory),
        revision=revision_of(directory),
        size=size,
        inputs=inputs if name != BUNDLED else ("grid",),
        default_input=default_input(inputs),
        grid=BUNDLED_GRID if name == BUNDLED else None,
        guessed=guessed,
    )


def _processor_config(directory: Path) -> dict[str, Any] | None:
    nested = read_json(directory / "processor_config.json") or {}
    return nested.get("image_processor") or read_json(directory / "preprocessor_config.json")


def _has_video_processor(directory: Path) -> bool:
    nested = read_json(directory / "processor_config.json") or {}
    return "video_processor" in nested or (directory / "video_preprocessor_config.json").is_file()


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
            continue  # what is said about a model is not part of it
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
