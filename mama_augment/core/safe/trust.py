"""Whether the files that are read are strangers', and which kinds of addresses are opened.

Both are settings of a process and of all that it starts, so they live in the environment: an
operator may set them there for every command (`MAMA_UNTRUSTED=1`), and a command's own
`--untrusted` and `--allow-scheme` hold as long as it runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mama_augment.core.errors import InputError

UNTRUSTED = "MAMA_UNTRUSTED"
SCHEMES = "MAMA_ALLOW_SCHEMES"
"""Comma-separated."""
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
OPEN_OTHERS = (
    *("reference", "zip", "tar", "libarchive", "dir", "generic", "data", "dask", "jlab", "python"),
    *("blockcache", "filecache", "simplecache", "cached", "asynclocal", "local"),
)
"""fsspec's file systems that open further addresses, which stand in the data."""


def is_untrusted() -> bool:
    """Whether the files that are read may mean harm."""
    return os.environ.get(UNTRUSTED, "").lower() not in ("", "0", "false", "no")


def more_schemes() -> tuple[str, ...]:
    """Kinds of addresses that are allowed beside the usual ones.

    Raises:
        InputError: one of them is no scheme, or opens other addresses.
    """
    return checked_schemes(filter(None, os.environ.get(SCHEMES, "").split(",")))


def checked_schemes(given: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    """Schemes as they are compared, in lower case, without `://`.

    Raises:
        InputError: one of them is no scheme, or opens other addresses.
    """
    schemes = tuple(scheme.strip().lower().removesuffix("://") for scheme in given)
    for scheme in schemes:
        if not SCHEME.fullmatch(scheme):
            raise InputError(f"--allow-scheme is {scheme!r}; give a word such as hf or abfs")
        if scheme in OPEN_OTHERS:
            raise InputError(
                f"--allow-scheme is {scheme!r}, whose files name further addresses; unpack them "
                "and give the folder"
            )
    return schemes


@contextmanager
def trusting(*, untrusted: bool = False, schemes: Sequence[str] = ()) -> Iterator[None]:
    """Inside, for this process and those that it starts: what a command was told, beside what its
    environment says.

    Raises:
        InputError: as `checked_schemes`.
    """
    before = {name: os.environ.get(name) for name in (UNTRUSTED, SCHEMES)}
    allowed = dict.fromkeys((*more_schemes(), *checked_schemes(schemes)))
    if untrusted:
        os.environ[UNTRUSTED] = "1"
    if allowed:
        os.environ[SCHEMES] = ",".join(allowed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
