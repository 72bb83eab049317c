"""Decoders want a local file: what lies elsewhere is copied, by a process that decodes nothing.

So what decodes needs no credentials and no network (`runtime.room`), and a server that never ends
its answer costs one clip.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.safe.addresses import local_path, open_filesystem
from mama_augment.decode.config import SUFFIX
from mama_augment.decode.errors import ClipError
from mama_augment.decode.tar_member import archive_of, read_member
from mama_augment.runtime.isolate import IsolatedFunction, IsolationConfig

CHUNK_BYTES = 8 * 2**20
COPY = "mama_augment.decode.local_file:copy"


class LocalFiles:
    """Local paths of what URIs name. The copying process starts with the first that needs it."""

    def __init__(self, config: IsolationConfig, *, max_bytes: int) -> None:
        """config: time and memory that a copy may take. max_bytes: of a file that is copied."""
        self._copy = IsolatedFunction(COPY, replace(config, has_network=True), answer=str)
        self._max_bytes = max_bytes

    @contextmanager
    def local(self, uri: str) -> Iterator[tuple[str, bool]]:
        """(A local path with the content of `uri`, whether it is a copy).

        Raises:
            ClipError: bad_name, missing, io_error, too_large or unknown_scheme.
            IsolationError: copying it passed a limit.
        """
        if "\0" in uri:
            raise ClipError(
                "bad_name", f"{uri!r}: the path holds a NUL byte, which no file's name does"
            )
        try:
            path = local_path(uri) if archive_of(uri) is None else None
        except InputError as error:
            raise ClipError("unknown_scheme", str(error)) from error
        if path is not None:
            yield path, False
            return
        path = self._copy(uri, self._max_bytes)
        try:
            yield path, True
        finally:
            with suppress(OSError):
                os.unlink(path)

    def close(self) -> None:
        """End the copying process; its files go with it."""
        self._copy.close()


def copy(uri: str, max_bytes: int) -> str:
    """In the copying process: the path of a copy, among its temporary files.

    Raises:
        ClipError: missing, io_error, too_large or unknown_scheme.
    """
    suffix = os.path.splitext(uri)[1]
    suffix = suffix if SUFFIX.fullmatch(suffix) else ""
    descriptor, path = tempfile.mkstemp(prefix="mama-augment-", suffix=suffix)
    try:
        with os.fdopen(descriptor, "wb") as target:
            _fetch(uri, target, max_bytes)
    except BaseException:
        os.unlink(path)
        raise
    return path


def _fetch(uri: str, target: IO[bytes], max_bytes: int) -> None:
    try:
        if archive_of(uri) is not None:
            read_member(uri, target, max_bytes)
            return
        filesystem, path = open_filesystem(uri)
        with filesystem.open_input_file(path) as source:
            size = source.size()
            if size > max_bytes:
                raise ClipError("too_large", _too_large(uri, f"{size:,}", max_bytes))
            num_read = 0
            while content := source.read(CHUNK_BYTES):
                num_read += len(content)
                if num_read > max_bytes:  # whatever size it states
                    raise ClipError("too_large", _too_large(uri, "more", max_bytes))
                target.write(content)
    except ClipError:
        raise
    except FileNotFoundError as error:
        raise ClipError("missing", f"{shown(uri)}: no such object") from error
    except InputError as error:
        raise ClipError("unknown_scheme", str(error)) from error
    except Exception as error:  # whatever a file system's package raises
        text = str(error).replace(uri, shown(uri)) or type(error).__name__
        raise ClipError("io_error", f"{shown(uri)}: {text}") from error


def _too_large(uri: str, what: str, max_bytes: int) -> str:
    return f"{shown(uri)}: {what} bytes; the limit is {max_bytes:,} (--max-bytes)"
