"""Which encoder a name means, where it lies, what identifies it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mama_augment.caption.models import read_json, revision_of
from mama_augment.core.errors import InputError
from mama_augment.core.shared.hub import CODE_FILES, MODEL_FILES, hub_folder
from mama_augment.features.config import ALIASES, EncoderConfig

OF_IMAGES = ("clip", "siglip", "siglip2")
"""A picture and a text each become a vector of one space."""
PICTURES_ONLY = ("dinov2", "dinov2_with_registers")
OF_CLIPS = ("clip-vip",)
"""A clip is seen as a whole; exported by `mama-train export`, with its own code."""
KINDS = (*OF_IMAGES, *PICTURES_ONLY, *OF_CLIPS)


@dataclass(frozen=True, kw_only=True)
class EncoderModel:
    """An encoder that is on this machine; picklable."""

    name: str
    directory: str
    revision: str
    """The hub's commit, or a hash of the folder's files."""
    kind: str
    trust_remote_code: bool
    device: str

    @property
    def has_texts(self) -> bool:
        """Whether texts have vectors of the same space."""
        return self.kind not in PICTURES_ONLY

    def fields(self) -> dict[str, Any]:
        """What decides the vectors, for a manifest. Not where it lies or runs."""
        return {"model": self.name, "revision": self.revision, "kind": self.kind}


def find_encoder(config: EncoderConfig) -> EncoderModel:
    """
    Raises:
        InputError: there is no such model here or on the hub, it is of a kind that is not known, or
            it needs code that is not trusted.
    """
    path = Path(config.model).expanduser()
    if path.is_dir():
        if config.revision is not None:
            raise InputError(
                f"--revision is {config.revision!r}, but --model {config.model!r} is a folder; "
                "leave it out"
            )
        name, directory = path.resolve().name, path
    else:
        name = ALIASES.get(config.model, config.model)
        if name.count("/") != 1 or config.model.startswith((".", "~", "/")):
            raise InputError(
                f"--model is {config.model!r}, which is not a folder; give one of "
                f"{', '.join(ALIASES)}, a hub id (owner/name), or a folder as `mama-train export` "
                "writes it"
            )
        files = (*MODEL_FILES, *CODE_FILES) if config.trust_remote_code else MODEL_FILES
        directory = hub_folder(name, files, revision=config.revision)
    content = read_json(directory / "config.json")
    if content is None:
        raise InputError(
            f"--model {config.model!r} holds no model: there is no config.json in it. Give a "
            "folder as `mama-train export` or transformers' save_pretrained writes it"
        )
    kind = str(content.get("model_type"))
    _check(config, kind, content)
    return EncoderModel(
        name=name,
        directory=str(directory),
        revision=revision_of(directory),
        kind=kind,
        trust_remote_code=config.trust_remote_code,
        device=config.device,
    )


def _check(config: EncoderConfig, kind: str, content: dict[str, Any]) -> None:
    if kind not in KINDS:
        raise InputError(
            f"--model {config.model!r} is of type {kind!r}; types that make features are "
            f"{', '.join(KINDS)}"
        )
    if kind in OF_CLIPS and "auto_map" not in content:
        raise InputError(
            f"--model {config.model!r} is a checkpoint of CLIP-ViP without its code; "
            f"`mama-train export {config.model} --out FOLDER` writes one that has it"
        )
    if kind in OF_CLIPS and not config.trust_remote_code:
        raise InputError(
            f"--model {config.model!r} brings its own code (modeling_….py); read it, and pass "
            "--trust-remote-code to run it"
        )
