"""The one door for files of a directory that a stranger may have filled: links lead nowhere.

What we write in place (locks, journals, histories) is opened here; all else is made under a random
name and renamed (`core.store.files.whole`). Links to folders are refused: through one, deleting
leftovers would delete somebody else's files.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from mama_augment.core.errors import InputError
from mama_augment.core.safe.trust import is_untrusted

MOST_BYTES = 2**28
"""Of a stranger's file that is read as a whole: manifests, records, sidecars."""
MORE_NAMES = (errno.ELOOP, errno.EMLINK)


def open_own(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a regular file of that one name, made if `flags` say so.

    Raises:
        InputError: a link, or no regular file.
        OSError: it cannot be opened.
    """
    safely = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | safely, 0o644)
    except OSError as error:
        if error.errno in (*MORE_NAMES, errno.ENXIO):
            raise _odd(path) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise _odd(path)
    return descriptor


def _odd(path: str | os.PathLike[str]) -> InputError:
    return InputError(
        f"{os.fspath(path)!r} is a link, or not a regular file, and is not written to: delete it"
    )


def read_regular(path: str) -> bytes:
    """The content of a regular file; links are followed unless files are untrusted.

    Raises:
        InputError: untrusted, and a link or far too large.
        OSError: it is not there, no regular file, or cannot be read.
    """
    strict = is_untrusted()
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if strict else 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if strict and error.errno in MORE_NAMES:
            raise InputError(f"{path!r} is a link, which is not followed (--untrusted)") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if strict and status.st_size > MOST_BYTES:
            raise InputError(
                f"{path!r} has {status.st_size:,} bytes; at most {MOST_BYTES:,} are read of a "
                "file of this kind (--untrusted)"
            )
        return file.read()


def check_no_links(root: str, name: str) -> None:
    """Refuse a relative name whose folders below `root` are links.

    Raises:
        InputError: naming the link.
    """
    path = root
    for part in name.split("/")[:-1]:
        path = f"{path}/{part}"
        if os.path.islink(path):
            raise link_error(path)


def check_folder(path: Path) -> None:
    """Refuse a folder to write to that is a link.

    Raises:
        InputError: it is.
    """
    if path.is_symlink():
        raise link_error(os.fspath(path))


def link_error(path: str) -> InputError:
    return InputError(
        f"{path!r} is a link to a folder; nothing is written or deleted behind one. Move what it "
        "leads to here, or give the directory itself"
    )


def files_below(
    root: str, below: str, *, recursive: bool, enters: Callable[[str], bool]
) -> Iterator[tuple[str, int]]:
    """(Relative name, size) of every file; links to folders are never followed.

    enters: whether a subfolder, by its relative name, is looked into.

    Raises:
        InputError: one of these subfolders is a link.
    """
    check_no_links(root, f"{below}/-" if below else "-")
    follows = not is_untrusted()
    todo = [below]
    while todo:
        folder = todo.pop()
        try:
            entries = os.scandir(f"{root}/{folder}" if folder else root)
        except (FileNotFoundError, NotADirectoryError):
            continue
        prefix = f"{folder}/" if folder else ""
        with entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_file(follow_symlinks=follows):
                    yield name, entry.stat().st_size
                elif recursive and enters(name) and entry.is_dir():
                    if entry.is_symlink():
                        raise link_error(f"{root}/{name}")
                    todo.append(name)
