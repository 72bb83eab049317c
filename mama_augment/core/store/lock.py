"""One run at a time writes to a directory: a lock of the operating system on `DIR/.lock`.

The kernel keeps the lock, not the file: it ends with the process that took it, SIGKILL included,
so a crashed run never blocks the next one, and a `.lock` that a crash left behind means nothing.
Only the process that called `locked` has it; children, which may outlive it, do not. Object stores
have no such lock, and neither have some network file systems: there nothing is locked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

LOCK_NAME = ".lock"
WAIT_SECONDS = 1.0
"""A process that was killed just now may need a moment to be gone."""
POLL_SECONDS = 0.05

CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)
KNOWS_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_held: set[int] = set()
"""Descriptors of the locks of this process."""


@contextmanager
def locked(uri: str | os.PathLike[str]) -> Iterator[None]:
    """Be the only run that writes to a directory; it is made if it is not there.

    Where nothing can be written, nothing is locked: finished work may lie on a read-only disk.

    Raises:
        InputError: another run writes to it, or it is a file.
    """
    folder = Folder(uri)
    if not folder.is_local:
        yield
        return
    directory = Path(folder.path())
    new = [path for path in (directory, *directory.parents) if not path.exists()]
    descriptor = _acquire(directory)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a fork of this process
            with suppress(OSError):  # as soon as a new folder holds something, it stays
                (directory / LOCK_NAME).unlink()  # while it is ours
                for path in new:
                    path.rmdir()
            _held.remove(descriptor)
            os.close(descriptor)


def _acquire(directory: Path) -> int | None:
    """The descriptor that holds the lock; None where there can be none."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        descriptor = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The run that had it may have deleted the file between the two calls.
            if os.path.samestat(os.fstat(descriptor), os.stat(directory / LOCK_NAME)):
                _leave_note(descriptor)
                _held.add(descriptor)
                return descriptor
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{str(directory)!r} is a file; a directory is needed") from error
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise InputError(_in_use(directory)) from error
        except FileNotFoundError as error:  # deleted with its folder by the run that had it
            if time.monotonic() > deadline:
                raise InputError(f"{str(directory)!r} cannot be made: {error}") from error
        except OSError as error:
            if error.errno not in (*CANNOT_WRITE, *KNOWS_NO_LOCKS):
                raise
            if descriptor is not None:
                (directory / LOCK_NAME).unlink(missing_ok=True)
            return None
        finally:
            if descriptor is not None and descriptor not in _held:
                os.close(descriptor)
        time.sleep(POLL_SECONDS)


def _leave_note(descriptor: int) -> None:
    """Say whose lock it is, to whoever meets it."""
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(note).encode(), 0)


def _in_use(directory: Path) -> str:
    try:
        note = json.loads((directory / LOCK_NAME).read_bytes())
        run = "another run (process {pid} on host {host}, since {since})".format(**note)
    except (OSError, ValueError, KeyError):
        run = "another run"
    return (
        f"{run} writes to {str(directory)!r}; two at a time would delete each other's unfinished "
        "files. Wait until it ends, or stop it, and give this command again: it continues where "
        "the other one stopped"
    )


def _let_go() -> None:
    """In a fork: close what was inherited, without unlocking it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


# Programs that are started do not inherit descriptors; forks (vLLM, data loaders) would.
os.register_at_fork(after_in_child=_let_go)
