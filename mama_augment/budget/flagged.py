"""Clips that are not worth a caption, by the flags of their pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mama_augment.core.shared.flags import NEAR_IDENTICAL
from mama_augment.core.store.several import StepDirs
from mama_augment.keyframes import near


def skipped_clips(clips: StepDirs, flags: Collection[str]) -> Mapping[str, str]:
    """By clip_id, the first flag that it has of those to be skipped."""
    if not flags:
        return {}
    found: dict[str, str] = {}
    for table in clips.tables(["clip_id", "flags"]):
        for clip_id, own in zip(
            table["clip_id"].to_pylist(), table["flags"].to_pylist(), strict=True
        ):
            for flag in own or ():
                if flag in flags:
                    found.setdefault(clip_id, flag)
    if NEAR_IDENTICAL in flags:
        for clip_id in near.near_identical(clips.tables(near.COLUMNS)):
            found.setdefault(clip_id, NEAR_IDENTICAL)
    return found
