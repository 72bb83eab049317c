"""Flags of clips: what is known of their pictures before a caption is paid for."""

from __future__ import annotations

from mama_augment.core.errors import InputError, did_you_mean

BLACK, STATIC = "black", "static"
SIZE_CHANGES, INTERLACED = "size_changes", "interlaced"
FLAGS = {
    BLACK: "every key frame is black",
    STATIC: "all key frames show the same picture",
    SIZE_CHANGES: "frames of other shapes than the first have black bars",
    INTERLACED: "key frames were deinterlaced",
}
"""Those that a clip has for itself, in the column `flags` of the clips table."""
NEAR_IDENTICAL = "near_identical"
"""It looks like an earlier clip; known only where all clips are looked at together."""


def parse_flags(text: str) -> tuple[str, ...]:
    """`black,static` as names of flags.

    Raises:
        InputError: there is no such flag.
    """
    allowed = (*FLAGS, NEAR_IDENTICAL)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in allowed:
            raise InputError(f"--skip-flags names {name!r}; {did_you_mean(name, allowed)}")
    return names
