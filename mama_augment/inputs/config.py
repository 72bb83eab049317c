"""What VIDEOS is taken for."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import check_choice
from mama_augment.inputs.table.config import ManifestConfig

SUBTITLE_CHOICES = ("clips", "whole", "none")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How VIDEOS becomes a list of clips."""

    manifest: ManifestConfig = field(default_factory=ManifestConfig)
    subtitles: str = "clips"
    """What .srt and .vtt files beside videos are: clips (each cue is a clip, in place of the whole
    video), whole (all cues are one text of the video), none."""
    same_content: bool = False
    """Where a manifest gives splits, say also which files of different splits hold the same bytes;
    this reads them. Links are told without it."""

    def __post_init__(self) -> None:
        check_choice("--subtitles", self.subtitles, SUBTITLE_CHOICES)
