"""Finished captions of unfinished units, so that a kill does not cost them.

A caption is known by the hash of everything that it was made from (`caption_key`). On a disk each
unit has one journal, `journal/<unit>.jsonl` in the step directory, with a line per finished caption
that is there as soon as the caption is. Nothing can be appended to an object, so on an object store
each worker writes small ones, every few seconds, with what it has of units that are still open.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

from mama_augment.caption.engines.base import Completion
from mama_augment.core.safe.own_files import check_no_links, open_own
from mama_augment.core.store.committed import in_parallel
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import JOURNAL_FOLDER

CAPTIONS_PER_OBJECT = 128
SECONDS_PER_OBJECT = 10.0
"""What a kill may cost a worker on an object store, whichever is less."""

Line = dict[str, Any]


class Journal(Protocol):
    """One worker's."""

    def read(self, unit_id: str) -> dict[str, Completion]:
        """A unit's finished captions by key, whoever wrote them."""
        ...

    def add(self, unit_id: str, key: str, completion: Completion) -> None:
        """Note one caption.

        Raises:
            OSError: the disk is full, say.
        """
        ...

    def forget(self, unit_id: str) -> None:
        """The unit's captions are committed."""
        ...

    def close(self) -> None: ...


def open_journal(folder: Folder) -> Journal:
    """The journal of a step directory."""
    return DiskJournal(folder) if folder.is_local else ObjectJournal(folder)


def journal_name(unit_id: str) -> str:
    """Of a unit on a disk."""
    return f"{JOURNAL_FOLDER}/{unit_id}.jsonl"


class DiskJournal:
    """A file per unit, a line per caption."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._descriptors: dict[str, int] = {}

    def read(self, unit_id: str) -> dict[str, Completion]:
        content = self._folder.read_if_there(journal_name(unit_id))
        lines = _lines(content) if content is not None else ()
        return {line["key"]: _completion(line) for line in lines}

    def add(self, unit_id: str, key: str, completion: Completion) -> None:
        if unit_id not in self._descriptors:
            path = self._folder.path(journal_name(unit_id))
            check_no_links(self._folder.path(), journal_name(unit_id))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            self._descriptors[unit_id] = descriptor
            # Should the last line lack its end, it must not swallow the first new one.
            os.write(descriptor, b"\n")
        line = memoryview(_json({"key": key, **dataclasses.asdict(completion)}))
        while line:  # a nearly full disk takes a part, and refuses the rest with an error
            line = line[os.write(self._descriptors[unit_id], line) :]

    def forget(self, unit_id: str) -> None:
        self._close(unit_id)
        self._folder.delete(journal_name(unit_id))

    def close(self) -> None:
        for unit_id in list(self._descriptors):
            self._close(unit_id)

    def _close(self, unit_id: str) -> None:
        descriptor = self._descriptors.pop(unit_id, None)
        if descriptor is not None:
            os.close(descriptor)


class ObjectJournal:
    """Small objects, each with captions of several units; deleted when all these are committed."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._name = f"{JOURNAL_FOLDER}/{uuid.uuid4().hex}"
        self._there: dict[str, dict[str, Completion]] | None = None
        """What earlier runs left, by unit."""
        self._waiting: dict[str, list[Line]] = defaultdict(list)
        self._since = 0.0
        self._num_written = 0
        self._units_of: dict[str, set[str]] = {}
        """By object of this worker: units of it that are open."""

    def read(self, unit_id: str) -> dict[str, Completion]:
        if self._there is None:
            self._there = defaultdict(dict)
            names = list(self._folder.sizes_bytes(JOURNAL_FOLDER))
            for content in in_parallel(self._folder, names, self._folder.read_if_there):
                # None: its units have been committed since, by whoever does them.
                for line in _lines(content or b""):
                    self._there[line["unit"]][line["key"]] = _completion(line)
        return self._there.get(unit_id, {})

    def add(self, unit_id: str, key: str, completion: Completion) -> None:
        if not self._waiting:
            self._since = time.monotonic()
        line = {"unit": unit_id, "key": key, **dataclasses.asdict(completion)}
        self._waiting[unit_id].append(line)
        is_late = time.monotonic() - self._since > SECONDS_PER_OBJECT
        if is_late or sum(map(len, self._waiting.values())) >= CAPTIONS_PER_OBJECT:
            self._write()

    def forget(self, unit_id: str) -> None:
        self._waiting.pop(unit_id, None)
        for name, units in list(self._units_of.items()):
            units.discard(unit_id)
            if not units:
                self._folder.delete(name)
                del self._units_of[name]

    def close(self) -> None:
        if self._waiting:
            self._write()

    def _write(self) -> None:
        name = f"{self._name}-{self._num_written:06d}.jsonl"
        content = b"".join(_json(line) for lines in self._waiting.values() for line in lines)
        self._folder.write_bytes(name, content)
        self._num_written += 1
        self._units_of[name] = set(self._waiting)
        self._waiting.clear()


def _json(fields: Line) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _lines(content: bytes) -> Iterator[Line]:
    """Lines that are whole; one that a kill or a full disk cut short does not count."""
    for line in content.split(b"\n"):
        try:
            yield json.loads(line)
        except ValueError:
            continue  # torn, or the empty line that keeps a torn one apart


def _completion(line: Line) -> Completion:
    return Completion(**{name: line[name] for name in line if name not in ("key", "unit")})
