"""What VIDEOS is taken for."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.inputs.table.config import ManifestConfig


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How VIDEOS becomes a list of clips."""

    manifest: ManifestConfig = field(default_factory=ManifestConfig)
    same_content: bool = False
    """Where a manifest gives splits, say also which files of different splits hold the same bytes;
    this reads them. Links are told without it."""
