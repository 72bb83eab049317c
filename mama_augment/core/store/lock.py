"""Who may write to a directory: one run alone, or any number of shares side by side; and whether
their workers see it.

Locks of the operating system on `DIR/.lock` (`flock`, which NFS keeps too): exclusive for a run
that takes every unit, shared for one that takes its share, whose own file (`.lock-2-of-8`) keeps
the same share from running twice. The kernel keeps the lock, not the file: it ends with the process
that took it, SIGKILL included, so a crashed run never blocks the next one, and a `.lock` that a
crash left behind means nothing. Object stores have no such lock, and neither have some network file
systems: there nothing is locked, and nothing needs to be (docs/guarantees.md).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mama_augment.core.errors import InputError
from mama_augment.core.safe.own_files import open_own
from mama_augment.core.shares import Share
from mama_augment.core.store.files import Folder

LOCK_NAME = ".lock"
OPENING_NAME = ".lock-opening"
WAIT_SECONDS = 1.0
"""A process that was killed just now may need a moment to be gone."""
OPENING_WAIT_SECONDS = 600.0
"""Another share may be reading a long list of clips."""
POLL_SECONDS = 0.05
SEEN_PREFIX = ".seen-"

CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)
KNOWS_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


_without_locks: set[str] = set()
"""Directories of disks that know none."""


def is_guarded(folder: Folder) -> bool:
    """Whether a lock keeps others from writing to a directory while this process does."""
    return folder.is_local and folder.path() not in _without_locks


def is_lock(name: str) -> bool:
    """Whether a relative name is that of a lock."""
    return name == LOCK_NAME or name.startswith(f"{LOCK_NAME}-")


@contextmanager
def locked(uri: str | os.PathLike[str], share: Share | None = None) -> Iterator[None]:
    """Be the only run that writes to a directory, or one of its shares; it is made if need be.

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
    with ExitStack() as stack:
        lock = _acquire(directory, LOCK_NAME, is_shared=share is not None)
        if lock is None:
            yield
            return
        stack.callback(_release, lock, new)
        if share is not None:
            _join_shares(directory, share, stack)
        yield


def _join_shares(directory: Path, share: Share, stack: ExitStack) -> None:
    """Be the only run of a share, among shares of one number: those of another one have other
    units, and would take files of units in flight for leftovers.

    Raises:
        InputError: the share, or shares of another number, are being worked on.
    """
    of_number = f"{LOCK_NAME}-of-{share.num}"
    for name, is_shared in ((of_number, True), (f"{LOCK_NAME}-{_share_name(share)}", False)):
        lock = _acquire(directory, name, is_shared=is_shared)
        if lock is not None:
            stack.callback(_release, lock, [])
    for path in directory.glob(f"{LOCK_NAME}-of-*"):
        if path.name == of_number:
            continue
        other = _try(path, is_shared=False)
        if other is not None:
            _release(other, [])
        elif path.exists():
            raise InputError(
                f"--share {share}: shares of {path.name.rpartition('-')[2]} are being worked on "
                f"in {str(directory)!r}; give this machine one of these, or wait until they end"
            )


def _share_name(share: Share | None) -> str:
    return "all" if share is None else f"{share.index}-of-{share.num}"


@contextmanager
def opening(uri: str | os.PathLike[str], share: Share | None) -> Iterator[None]:
    """Inside, no other share begins or extends the directory's manifest."""
    folder = Folder(uri)
    if share is None or not folder.is_local:
        yield
        return
    lock = _acquire(
        Path(folder.path()), OPENING_NAME, is_shared=False, wait_seconds=OPENING_WAIT_SECONDS
    )
    try:
        yield
    finally:
        if lock is not None:
            _release(lock, [])


@dataclass(frozen=True)
class _Lock:
    """A held lock: its file and the descriptor that holds it."""

    path: Path
    descriptor: int


_held: set[int] = set()
"""Descriptors of this process's locks. A fork, which may outlive it, closes its copies."""


def _forget() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


def _acquire(
    directory: Path, name: str, *, is_shared: bool, wait_seconds: float | None = None
) -> _Lock | None:
    """The lock, held, after WAIT_SECONDS at most; None where there can be none."""
    path = directory / name
    deadline = time.monotonic() + (WAIT_SECONDS if wait_seconds is None else wait_seconds)
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = _try(path, is_shared=is_shared)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{str(directory)!r} is a file; a directory is needed") from error
        except FileNotFoundError as error:  # deleted with its folder by the run that had it
            if time.monotonic() > deadline:
                raise InputError(f"{str(directory)!r} cannot be made: {error}") from error
            continue
        except OSError as error:
            if error.errno not in (*CANNOT_WRITE, *KNOWS_NO_LOCKS):
                raise
            if error.errno in KNOWS_NO_LOCKS:
                path.unlink(missing_ok=True)
                _without_locks.add(str(directory))
            return None
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise InputError(_in_use(directory, name))
        time.sleep(POLL_SECONDS)


def _try(path: Path, *, is_shared: bool) -> _Lock | None:
    """The lock; None while another process holds it."""
    descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        # Whoever had it may have deleted the file between: then this is a lock on nothing.
        held, there = os.fstat(descriptor), os.stat(path)
        if (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino):
            os.close(descriptor)
            return None
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    _held.add(descriptor)
    _leave_note(descriptor)
    return _Lock(path, descriptor)


def _release(lock: _Lock, new: list[Path]) -> None:
    """Let go; the file goes with the last one that holds it, and folders that hold nothing."""
    if lock.descriptor not in _held:  # in a fork of the process that took it
        return
    with suppress(
        OSError
    ):  # others share it; or, as soon as a new folder holds something, it stays
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.path.unlink()  # while it is ours
        for path in new:
            path.rmdir()
    _held.discard(lock.descriptor)
    os.close(lock.descriptor)


def _leave_note(descriptor: int) -> None:
    """Say whose lock it is, to whoever meets it."""
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(note).encode(), 0)


def _in_use(directory: Path, name: str) -> str:
    try:
        note = json.loads((directory / name).read_bytes())
        run = "another run (process {pid} on host {host}, since {since})".format(**note)
    except (OSError, ValueError, KeyError):
        run = "another run"
    what = (
        "two at a time would delete each other's unfinished files"
        if name == LOCK_NAME
        else "the same share is being worked on"
    )
    return (
        f"{run} writes to {str(directory)!r}; {what}. Wait until it ends, or stop it, and give "
        "this command again: it continues where the other one stopped"
    )


@contextmanager
def sight(folder: Folder, share: Share | None) -> Iterator[Callable[[], None]]:
    """A file of a name that nobody else knows lies in the folder; gives what a worker calls.

    An object store is the same from everywhere. Where nothing can be written, nothing is proved,
    and nothing needs to be: no unit will be.
    """
    if not folder.is_local:
        yield _nothing
        return
    prefix = f"{SEEN_PREFIX}{_share_name(share)}-"
    proof = Path(folder.path()) / f"{prefix}{uuid.uuid4().hex}"
    try:
        for other in proof.parent.glob(f"{prefix}*"):  # of a killed run; this one has the lock
            other.unlink()
        proof.touch(exist_ok=False)
    except OSError:
        yield _nothing
        return
    try:
        yield partial(_prove, str(proof), socket.gethostname())
    finally:
        with suppress(OSError):
            proof.unlink()


def is_sight(name: str) -> bool:
    """Whether a relative name is that of a proof; a kill leaves one."""
    return name.startswith(SEEN_PREFIX)


def _prove(proof: str, host: str) -> None:
    """On the worker's machine.

    Raises:
        InputError: the file is not there.
    """
    if not os.path.exists(proof):
        raise InputError(
            f"{socket.gethostname()} does not see {os.path.dirname(proof)!r} of {host}. Give an "
            "--out that all machines share: a folder of a shared file system, or an object store"
        )


def _nothing() -> None:
    """Nothing to prove."""
