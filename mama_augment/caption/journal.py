"""Finished captions of an unfinished unit, so that a kill never costs one.

A caption is known by the hash of everything that it was made from (`caption_key`). Each unit has
one journal, `journal/<unit>.jsonl` in the step directory, with a line per finished caption; it is
deleted once the unit is committed.
"""

from __future__ import annotations

import dataclasses
import json
import os

from mama_augment.caption.engines.base import Completion
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import JOURNAL_FOLDER


class Journal:
    """The finished captions of one unit, on a local disk."""

    def __init__(self, folder: Folder, unit_id: str) -> None:
        self.folder = folder
        self.name = f"{JOURNAL_FOLDER}/{unit_id}.jsonl"
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
