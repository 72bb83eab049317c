"""Paths and URIs as they are handed on (absolute) and as they may be stored or printed (shown)."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_plus

SECRET_WORDS = ("signature", "token", "key", "secret", "passw", "pwd", "credential", "auth")
"""A parameter is secret whose name holds one of these …"""
SECRET_NAMES = ("sig", "pass", "hmac", "jwt")
"""… or is one of these …"""
SECRET_PREFIXES = ("x-amz-", "x-goog-")
"""… or begins so: the parameters of presigned URLs."""
USER_IS_PLACE = ("abfs", "abfss", "wasb", "wasbs", "az", "adl")
"""Schemes that write `container@account`: what stands before the `@` is a place, not a person."""

END_OF_AUTHORITY = re.compile(r"[/?#]|::(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""The second kind chains URIs."""
WITHOUT_PORT = ("s3", "s3a", "s3n", "gs", "gcs")
"""Schemes whose host is a bucket: what follows a `:` there is a password."""

START_OF_PARAMETERS = re.compile(r"[?#]")
PARAMETER = re.compile(r"([?#&;])([^?#&;]*)")


def absolute(uri: str) -> str:
    """A local path from the root, for processes with another working directory; URIs as given."""
    return uri if is_uri(uri) else os.path.abspath(uri)


def is_uri(uri: str) -> bool:
    """Whether this is a URI; all else is a path of this machine."""
    return "://" in uri


def shown(uri: str) -> str:
    """The URI without what lets its reader in: no user info, no secret parameters.

    Local paths come back as they are, whatever letters they hold. Chained URIs
    (`zip://a.mp4::https://…`) and URIs with several secrets lose all of them.
    """
    while is_uri(uri) and (shorter := _without_secret_parameters(_without_user(uri))) != uri:
        uri = shorter  # and again: in a broken URI the rest may look like user info
    return uri


def _without_user(uri: str) -> str:
    kept, position, last_at = [], 0, uri.rfind("@")
    while (mark := uri.find("://", position)) >= 0:
        start = mark + len("://")
        scheme = re.split(r"[^a-z0-9+.-]", uri[position:mark].lower())[-1]
        end = _end_of_authority(uri, start, last_at, has_port=scheme not in WITHOUT_PORT)
        user, at, host = uri[start:end].rpartition("@")
        place = user.partition(":")[0] if scheme in USER_IS_PLACE else ""
        kept += [uri[position:start], f"{place}{at}" if place else "", host]
        position = end
    return "".join(kept) + uri[position:]


def _end_of_authority(uri: str, start: int, last_at: int, *, has_port: bool) -> int:
    """Where `user:password@host:port` ends, with a raw `/`, `?` or `#` in the password too."""
    cut = END_OF_AUTHORITY.search(uri, start)
    end = cut.start() if cut else len(uri)
    authority = uri[start:end]
    is_whole = "@" in authority[:-1] or ":" not in authority or authority.startswith("[")
    if has_port and authority.partition(":")[2].isdecimal():
        is_whole = True
    if is_whole or last_at < end:
        return end
    # What follows the colon is not a port, and so a password, of which more follows.
    cut = END_OF_AUTHORITY.search(uri, last_at)
    return cut.start() if cut else len(uri)


def _without_secret_parameters(uri: str) -> str:
    found = START_OF_PARAMETERS.search(uri)
    if not found:
        return uri
    parts = PARAMETER.findall(uri, found.start())
    query = ""
    for mark, part in parts:
        if not _is_secret(part):
            # The first parameter that is left takes the `?` of one that is gone.
            query += ("?" if mark in "&;" and not query else mark) + part
    return uri[: found.start()] + query


def _is_secret(parameter: str) -> bool:
    name, equals, value = (unquote_plus(part) for part in parameter.partition("="))
    name = name.strip().lower()
    if not equals:
        return False
    return (
        name in SECRET_NAMES
        or name.startswith(SECRET_PREFIXES)
        or any(word in name for word in SECRET_WORDS)
        # A URI inside this one is not taken apart: it goes where it can hold a secret.
        or (is_uri(value) and ("@" in value or "=" in value))
    )
