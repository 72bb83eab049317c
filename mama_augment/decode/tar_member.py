"""A member of a tar archive as a file, for as long as a decoder needs it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from mama_augment.core.address import shown
from mama_augment.decode.errors import ClipError
from mama_augment.inputs.folder.tars import place_of, split_member

CHUNK_BYTES = 8 * 2**20


def is_member(address: str) -> bool:
    """Whether an address leads into an archive, and not to a file in a folder of such a name."""
    found = split_member(address)
    return found is not None and ("://" in address or os.path.isfile(found[0]))


@contextmanager
def member_file(address: str) -> Iterator[str]:
    """A local path with the content of `shard.tar/000017.mp4`.

    Raises:
        ClipError: missing or io_error.
    """
    found = split_member(address)
    assert found is not None, "is_member comes first"
    suffix = os.path.splitext(address)[1]
    with tempfile.NamedTemporaryFile(prefix="mama-augment-", suffix=suffix) as copy:
        try:
            place = place_of(*found)
            if place is None:
                raise ClipError("missing", f"{shown(address)}: the archive has no such member")
            folder, name, start, rest = place
            with folder.open_input(name) as source:
                source.seek(start)
                while rest and (part := source.read(min(rest, CHUNK_BYTES))):
                    copy.write(part)
                    rest -= len(part)
        except (OSError, ValueError) as error:
            raise ClipError("io_error", f"{shown(address)}: {error}") from error
        copy.flush()
        yield copy.name
