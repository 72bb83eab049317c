"""One run at a time writes to a directory: a lock of the operating system on `DIR/.lock`.

The kernel keeps the lock, not the file: it ends with the process that took it, SIGKILL included,
so a crashed run never blocks the next one, and a `.lock` that a crash left behind means nothing.
Only the process that called `locked` has it; children, which may outlive it, do not. Object stores
have no such lock, and neither have some network file systems: there nothing is locked.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

LOCK_NAME = ".lock"
WAIT_SECONDS = 1.0
"""A process that was killed just now may need a moment to be gone."""
POLL_SECONDS = 0.05

CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)
KNOWS_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


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
    lock = _acquire(directory)
    try:
        yield
    finally:
        if lock is not None and lock.is_locked:  # not in a fork of this process
            with suppress(OSError):  # as soon as a new folder holds something, it stays
                (directory / LOCK_NAME).unlink()  # while it is ours
                for path in new:
                    path.rmdir()
            lock.release()


def _acquire(directory: Path) -> BaseFileLock | None:
    """The lock, held; None where there can be none."""
    path = directory / LOCK_NAME
    lock = FileLock(path, thread_local=False, fallback_to_soft=False, on_acquired=_leave_note)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=left, poll_interval=POLL_SECONDS)
            return lock
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{str(directory)!r} is a file; a directory is needed") from error
        except Timeout as error:
            raise InputError(_in_use(directory)) from error
        except FileNotFoundError as error:  # deleted with its folder by the run that had it
            if not left:
                raise InputError(f"{str(directory)!r} cannot be made: {error}") from error
        except OSError as error:
            if error.errno not in (*CANNOT_WRITE, *KNOWS_NO_LOCKS):
                raise
            if error.errno in KNOWS_NO_LOCKS:
                path.unlink(missing_ok=True)
            return None


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
