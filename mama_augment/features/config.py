"""What decides what vectors come out; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option

ALIASES = {
    "clip-b32": "openai/clip-vit-base-patch32",
    "siglip2": "google/siglip2-base-patch16-224",
    "dinov2": "facebook/dinov2-base",
}
"""Short names, and what they are on the hub."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The model that sees the frames."""

    model: str = field(default="clip-b32", metadata=option(choices=tuple(ALIASES)))
    """The encoder: a short name, a hub id (owner/name), or a folder such as `mama-train export`
    writes. Short names:"""
    revision: str | None = None
    """A branch, tag or commit of the hub."""
    trust_remote_code: bool = False
    """Run the Python that comes with the model. An exported CLIP-ViP or `small` needs it."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InputError(f"--model is {self.model!r}; give one of {', '.join(ALIASES)}, …")
