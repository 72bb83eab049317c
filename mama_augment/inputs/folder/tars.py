"""Tar archives of clips, as webdataset and video2dataset write them: `KEY.mp4`, `KEY.txt`, …

A member is addressed like a file in a folder: `shard.tar/000017.mp4`.
"""

from __future__ import annotations

import tarfile
from functools import lru_cache

from mama_augment.core.store.files import Folder, folder_and_name
from mama_augment.inputs.folder.suffixes import TAR_SUFFIX, is_hidden

Places = dict[str, tuple[int, int]]
"""By name: where the member's bytes start in the archive, and how many they are."""
MOST_MEMBERS = 1_000_000


def split_member(address: str) -> tuple[str, str] | None:
    """(archive, member) of an address that leads into a tar archive; None for any other."""
    archive, mark, member = address.partition(f"{TAR_SUFFIX}/")
    return (archive + TAR_SUFFIX, member) if mark and archive and member else None


def members(folder: Folder, name: str) -> Places:
    """The files of an archive, in its order; links, folders and hidden files are not among them,
    nor what is missing at the end of one that was cut off.

    Raises:
        ValueError: it is not a tar archive, damaged, or has too many members.
        OSError: it cannot be read.
    """
    places: Places = {}
    with folder.open_input(name) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for member in archive:
                    base = member.name.rpartition("/")[2]
                    if member.isreg() and not is_hidden(base) and not member.issparse():
                        places[member.name] = member.offset_data, member.size
                    if len(places) > MOST_MEMBERS:
                        raise ValueError(f"it has more than {MOST_MEMBERS:,} members")
        except tarfile.TarError as error:
            if not places:
                raise ValueError(f"it is not a tar archive ({error})") from error
        num_bytes = stream.size()
    return {name: place for name, place in places.items() if sum(place) <= num_bytes}


@lru_cache(maxsize=4)
def _known(archive: str, num_bytes: int) -> Places:
    folder, name = folder_and_name(archive)
    return members(folder, name)


def place_of(archive: str, member: str) -> tuple[Folder, str, int, int] | None:
    """(folder, name, first byte, number of bytes) of a member; None where there is none.

    Clips come in the order of their addresses, so that the members of an archive are looked up
    once for many of them.

    Raises:
        ValueError: see `members`. OSError: the archive cannot be read.
    """
    folder, name = folder_and_name(archive)
    num_bytes = folder.size_bytes(name)
    if num_bytes is None:
        return None
    place = _known(archive, num_bytes).get(member)
    return None if place is None else (folder, name, *place)


def key_of(member: str) -> str:
    """What the members of one clip share: all up to the first dot of the name."""
    parent, slash, base = member.rpartition("/")
    return f"{parent}{slash}{base.partition('.')[0]}"
