"""What a listing of a step directory says: which record of each unit counts, and what is left
over; and how to be rid of that."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import (
    MANIFEST_NAME,
    is_own_file,
    is_own_folder,
    is_temporary,
    is_unit_file,
)
from mama_augment.core.store.lock import is_guarded
from mama_augment.core.store.records import UnitRecord, is_record, unit_of

LEFT_SECONDS = 3600.0
"""Where nothing is locked, a younger file may be one that a unit in flight has
published for the record that it is about to write."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One look at a directory."""

    sizes: Mapping[str, int]
    """Every file, by relative name."""
    latest: Mapping[str, UnitRecord]
    """By unit: the record that counts, if any."""

    @classmethod
    def of(cls, sizes: Mapping[str, int]) -> Listing:
        return cls(sizes=sizes, latest=latest_of(sizes, sizes))


def latest_of(
    names: Iterable[str], sizes: Mapping[str, int] | None = None
) -> dict[str, UnitRecord]:
    """The one record of each unit that counts: of the last attempt whose files are there.

    There are several after a kill in the middle of a retry; whatever died when, none counts twice.

    sizes: the directory's files; None: the records are believed.
    """
    latest: dict[str, UnitRecord] = {}
    ranks: dict[str, tuple[int, str]] = {}
    for name in names:
        record = UnitRecord.from_name(name) if is_record(name) else None
        if record is None:
            continue
        if sizes is not None and any(sizes.get(f.name) != f.num_bytes for f in record.files()):
            continue
        # The name decides between two machines that did the same attempt with another outcome.
        rank = (record.attempt, name)
        if record.unit_id not in latest or rank > ranks[record.unit_id]:
            latest[record.unit_id], ranks[record.unit_id] = record, rank
    return latest


def delete_leftovers(
    folder: Folder, listing: Listing, unit_ids: Collection[str] | None = None
) -> None:
    """Delete the files of units that no record that counts names.

    unit_ids: only those of these units; None: of all, for a run that is alone.
    """
    ours = None if unit_ids is None else set(unit_ids)
    names = [name for name in _leftovers(listing) if ours is None or unit_of(name) in ours]
    for name in names if is_guarded(folder) else _old(folder, names):
        folder.delete(name)


def _leftovers(listing: Listing) -> Iterable[str]:
    """Data of units that no record that counts names, such records, and temporary files."""
    known = {file.name for record in listing.latest.values() for file in record.files()}
    known.update(record.name for record in listing.latest.values())
    for name in listing.sizes:
        if name not in known and (is_unit_file(name) or is_record(name) or is_temporary(name)):
            yield name


def _old(folder: Folder, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    until = time.time() - LEFT_SECONDS
    infos = folder.fs.get_file_info([folder.path(name) for name in names])
    return [
        name
        for name, info in zip(names, infos, strict=True)
        if info.mtime is not None and info.mtime.timestamp() < until
    ]


def clear(folder: Folder) -> None:
    """Empty a step directory; the manifest goes last, so that a kill leaves it recognisable."""
    for name in folder.sizes_bytes(recursive=True, enters=is_own_folder):
        if is_own_file(name):
            folder.delete(name)
    folder.delete(MANIFEST_NAME)
