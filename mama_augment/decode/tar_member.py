"""A member of a tar archive, read to a file that a decoder can open."""

from __future__ import annotations

import os
from typing import IO

from mama_augment.core.address import shown
from mama_augment.core.safe.addresses import local_path
from mama_augment.decode.errors import ClipError
from mama_augment.inputs.folder.tars import place_of, split_member

CHUNK_BYTES = 8 * 2**20


def archive_of(address: str) -> str | None:
    """The archive that an address leads into; None where it names a file, such as one in a folder
    of such a name.

    Raises:
        InputError: an address that is not opened.
    """
    found = split_member(address)
    if found is None:
        return None
    path = local_path(found[0])
    return found[0] if path is None or os.path.isfile(path) else None


def read_member(address: str, target: IO[bytes], max_bytes: int) -> None:
    """Write the content of `shard.tar/000017.mp4` to `target`.

    Raises:
        ClipError: missing or too_large.
        OSError, ValueError: the archive cannot be read.
    """
    found = split_member(address)
    assert found is not None, "archive_of comes first"
    place = place_of(*found)
    if place is None:
        raise ClipError("missing", f"{shown(address)}: the archive has no such member")
    folder, name, start, rest = place
    if rest > max_bytes:
        raise ClipError(
            "too_large",
            f"{shown(address)}: {rest:,} bytes; the limit is {max_bytes:,} (--max-bytes)",
        )
    with folder.open_input(name) as source:
        source.seek(start)
        while rest and (part := source.read(min(rest, CHUNK_BYTES))):
            target.write(part)
            rest -= len(part)
