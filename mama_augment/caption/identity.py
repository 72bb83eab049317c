"""What a caption is known by: a hash of everything that it is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def frames_digest(frames: Sequence[bytes], seconds: Sequence[float] = ()) -> str:
    """Identity of what is shown: the bytes of the clip's JPEGs in order, and their times where the
    model is told them (milliseconds count)."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(hashlib.sha256(frame).digest())
    for second in seconds:
        digest.update(f"|{second:.3f}".encode())
    return digest.hexdigest()


def caption_key(
    *, frames: str, prompt: str, caption_index: int, settings: Mapping[str, Any]
) -> str:
    """What a caption is known by, 32 hex digits.

    frames: `frames_digest`. prompt: the rendered text. settings: input, grid, picture size, model
    revision, chat, sampling and seed; the number of captions per clip is no part of it, so that a
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
