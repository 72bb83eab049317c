"""Engines that share a GPU start there one after the other."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock


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
    path = os.path.join(tempfile.gettempdir(), f"mama-augment-{os.getuid()}-{digest}.lock")
    # It ends with this process, and what vLLM forks off does not hold it.
    with FileLock(path):
        yield
