"""The one door for addresses: which are opened, and by what.

An address may stand in a stranger's manifest. So only kinds that are on a list are opened; an
address is one place, not a chain of them; and it brings neither a user nor options: who asks, and
which server is asked, is the operator's to say (AWS_ENDPOINT_URL, AWS_PROFILE, … of the
environment, or fsspec's own settings).
"""

from __future__ import annotations

import functools
import os
import re
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from mama_augment.core.address import USER_IS_PLACE, is_uri, shown
from mama_augment.core.errors import InputError
from mama_augment.core.safe.trust import more_schemes

FILE = "file"
BUCKETS = {"s3": "allow_delayed_open=true", "gs": ""}
"""Stores that pyarrow opens, and what it is told. With delayed opening, a small object is written
in one request; otherwise each is an upload in parts, of three, which a kill leaves unfinished."""
ALLOWED = (FILE, *BUCKETS, "https")
WITH_QUERY = ("http", "https")
"""Schemes whose query belongs to the address: presigned links have one."""
OF_STORES = ("AWS_", "GOOGLE_", "GCE_", "CLOUDSDK_")
"""How the names of their settings in the environment begin."""
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def checked(uri: str) -> tuple[str, str]:
    """(scheme, what follows its `://`) of a URI that may be opened.

    Raises:
        InputError: of another kind, a chain, with a user or with options.
    """
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    allowed = (*ALLOWED, *more_schemes())
    if "::" in uri:
        _refuse(uri, "it holds `::`, and chains of addresses are not opened")
    if scheme not in allowed:
        _refuse(
            uri,
            f"addresses of this kind are not opened; allowed: local paths, {', '.join(allowed)}. "
            f"--allow-scheme {shown(scheme)[:20]!s} adds a kind that you trust",
        )
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if at and (scheme not in USER_IS_PLACE or ":" in user):
        _refuse(uri, "an address brings no user; give the credentials in the environment")
    if "?" in rest and scheme not in WITH_QUERY:
        _refuse(
            uri,
            "an address brings no options (what follows the `?`); give them in the environment, "
            "such as AWS_ENDPOINT_URL (in a name, `?` is written %3F)",
        )
    return scheme, rest


def _refuse(uri: str, why: str) -> None:
    raise InputError(f"cannot open {shown(uri)!r}: {why}")


def local_path(path: str) -> str | None:
    """The path of a local file, whether it was given as such or as `file://`; None: elsewhere.

    Raises:
        InputError: as `checked`.
    """
    if not is_uri(path):
        return path
    scheme, rest = checked(path)
    if scheme != FILE:
        return None
    host, slash, below = rest.partition("/")
    if host not in ("", "localhost"):
        _refuse(path, f"{host!r} is another machine; local paths begin with file:///")
    return f"{slash}{unquote(below)}"


def open_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of `uri` and the path inside it.

    Raises:
        InputError: an address that is not opened, or nothing installed here opens it.
    """
    if (path := local_path(uri)) is not None:
        return pafs.LocalFileSystem(), os.path.abspath(path)
    scheme, rest = checked(uri)
    if scheme in BUCKETS:
        bucket, _, key = rest.partition("/")
        if not BUCKET.fullmatch(bucket):
            _refuse(uri, f"{bucket!r} is not the name of a bucket")
        return _store(scheme, bucket, _settings()), f"{bucket}/{unquote(key)}".rstrip("/")
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri)
        return filesystem, path.rstrip("/")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _by_fsspec(uri)


@functools.lru_cache(maxsize=256)
def _store(scheme: str, bucket: str, settings: tuple[str, ...]) -> pafs.FileSystem:
    """Once for each bucket and what the environment says: which region it is in, is asked for."""
    options = BUCKETS[scheme]
    return pafs.FileSystem.from_uri(f"{scheme}://{bucket}{'?' if options else ''}{options}")[0]


def _settings() -> tuple[str, ...]:
    """What of the environment says which store is asked, and as whom."""
    return tuple(sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(OF_STORES)))


def _by_fsspec(uri: str) -> tuple[pafs.FileSystem, str]:
    import fsspec

    try:
        handler, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        why = str(error).replace(uri, shown(uri))
        raise InputError(
            f"cannot open {shown(uri)!r}: {why}. Install the package that opens addresses of this "
            "kind, or copy what is there and give a local path"
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(handler)), path.rstrip("/")
