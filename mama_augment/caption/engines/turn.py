"""Engines that share a GPU start there one after the other."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock

from mama_augment.core.errors import StoppedError


@contextmanager
def start_turn() -> Iterator[None]:
    """Wait until no other process of this user starts an engine on the same devices.

    vLLM takes what a GPU's memory fills up by during its start for its own need; a neighbour that
    starts meanwhile would count as well, and nothing would be left for the cache. Without
    CUDA_VISIBLE_DEVICES nobody has given this process its place, and there is nothing to wait for.
    """
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not devices:
        yield
        return
    digest = hashlib.sha256(devices.encode()).hexdigest()[:12]
    path = os.path.join(_own_folder(), f"start-{digest}.lock")
    # It ends with this process, and what vLLM forks off does not hold it.
    with FileLock(path):
        yield


def _own_folder() -> str:
    """A folder that only this user can write to: in a shared one, others could take the lock, or
    lay a link in its place.

    Raises:
        StoppedError: there is none.
    """
    above = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    for parent in (os.path.expanduser(above), tempfile.gettempdir()):
        folder = os.path.join(parent, f"mama-augment-{os.getuid()}")
        with suppress(OSError):
            os.makedirs(parent, exist_ok=True)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            found = os.lstat(folder)
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if is_ours and not found.st_mode & 0o022:
                return folder
    raise StoppedError(
        f"no folder of this user's own below {above!r} or {tempfile.gettempdir()!r}; set "
        "XDG_RUNTIME_DIR to one that only this user can write to"
    )
