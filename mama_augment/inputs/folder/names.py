"""Names of files that are no text: tables and hashes hold UTF-8, disks hold any bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

SHOWN_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def shown_names(odd: Iterable[str], texts: Iterable[str] = ()) -> list[str]:
    """Names that are not UTF-8, as tables can hold them: their other bytes become `\\xff`.

    All are different, and different from `texts`, the names beside them that are UTF-8.
    """
    taken = set(texts)
    shown = []
    for name in odd:
        name = os.fsencode(name).decode(errors="backslashreplace")
        stem, suffix = os.path.splitext(name)
        while name in taken:  # a file is really called so
            stem += "~"
            name = stem + suffix
        taken.add(name)
        shown.append(name)
    return shown


def may_be_shown(name: str) -> bool:
    """Whether a name that is UTF-8 could be what another is shown as."""
    return "\\x" in name


def name_on_disk(path: str) -> bytes | None:
    """The bytes that a shown name stands for; None for one that shows none."""
    shown = path.encode(errors="surrogateescape")
    raw = SHOWN_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), shown)
    return raw if raw != shown else None


def is_text(name: str) -> bool:
    """Whether a name is UTF-8; Python holds other bytes as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
