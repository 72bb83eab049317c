"""Decoders want a local file: a URI's content is copied to one for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import open_filesystem
from mama_augment.decode.errors import ClipError
from mama_augment.decode.tar_member import is_member, member_file

CHUNK_BYTES = 8 * 2**20


@contextmanager
def local_file(uri: str) -> Iterator[str]:
    """A local path with the content of `uri`.

    Raises:
        ClipError: bad_name, missing, io_error or unknown_scheme.
    """
    if "\0" in uri:
        raise ClipError(
            "bad_name", f"{uri!r}: the path holds a NUL byte, which no file's name does"
        )
    if is_member(uri):
        with member_file(uri) as path:
            yield path
        return
    if "://" not in uri:
        yield uri
        return
    suffix = os.path.splitext(uri)[1]
    with tempfile.NamedTemporaryFile(prefix="mama-augment-", suffix=suffix) as copy:
        try:
            filesystem, path = open_filesystem(uri)
            with filesystem.open_input_file(path) as source:
                shutil.copyfileobj(source, copy, CHUNK_BYTES)
        except FileNotFoundError as error:
            raise ClipError("missing", f"{shown(uri)}: no such object") from error
        except InputError as error:
            raise ClipError("unknown_scheme", str(error)) from error
        except Exception as error:  # whatever a file system's package raises
            text = str(error).replace(uri, shown(uri)) or type(error).__name__
            raise ClipError("io_error", f"{shown(uri)}: {text}") from error
        copy.flush()
        yield copy.name
