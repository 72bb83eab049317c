"""Finished captions of an unfinished unit, so that a kill never costs one.

A caption is known by the hash of everything that it was made from (`caption_key`). Each unit has
one journal, `journal/<unit>.jsonl` in the step directory, with a line per finished caption; it is
deleted once the unit is committed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mama_augment.engines.base import Completion
from mama_augment.files import Folder

FOLDER = "journal"


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


class Journal:
    """The finished captions of one unit, on a local disk."""

    def __init__(self, folder: Folder, unit_id: str) -> None:
        self.folder = folder
        self.name = f"{FOLDER}/{unit_id}.jsonl"
        self._descriptor: int | None = None

    def read(self) -> dict[str, Completion]:
        """Finished captions by key; a line that a kill or a full disk cut short does not count."""
        if not self.folder.exists(self.name):
            return {}
        found = {}
        for line in self.folder.read_bytes(self.name).split(b"\n"):
            try:
                fields = json.loads(line)
            except ValueError:
                continue  # torn, or the empty line that keeps a torn one apart
            key = fields.pop("key")
            found[key] = Completion(**fields)
        return found

    def add(self, key: str, completion: Completion) -> None:
        """Append one caption; it outlives this process from here on.

        Raises:
            OSError: the disk is full, say.
        """
        if self._descriptor is None:
            path = self.folder.path(self.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            # Should the last line lack its end, it must not swallow the first new one.
            os.write(self._descriptor, b"\n")
        fields = {"key": key, **dataclasses.asdict(completion)}
        line = memoryview(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
        while line:  # a nearly full disk takes a part, and refuses the rest with an error
            line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def delete(self) -> None:
        """Forget the unit's captions: they are committed."""
        self.close()
        self.folder.delete(self.name)
