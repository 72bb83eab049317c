"""What a caption is known by: a hash of everything that it is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def frames_digest(frames: Sequence[bytes]) -> str:
    """Identity of a clip's key frames: the bytes of its JPEGs, in order."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(hashlib.sha256(frame).digest())
    return digest.hexdigest()


def caption_key(
    *, frames: str, prompt: str, caption_index: int, settings: Mapping[str, Any]
) -> str:
    """What a caption is known by, 32 hex digits.

    frames: `frames_digest`. prompt: the rendered text. settings: grid, picture size, model
    revision, sampling and seed; the number of captions per clip is no part of it, so that a
    larger one finds those that are there.
    """
    content = [frames, prompt, caption_index, dict(sorted(settings.items()))]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def draw_seed(seed: int, frames: str) -> int:
    """The seed of a clip's first caption; caption i has this + i.

    Mixed with the frames: with one seed for all, every clip would meet the same random draw at
    the same word.
    """
    digest = hashlib.sha256(f"{seed}|{frames}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x3FFFFFFF
