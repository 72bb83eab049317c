"""Files that exist under two names in two splits: training on one is training on the other."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Hashable, Iterator

import pyarrow as pa

from mama_augment.core.address import is_uri

CHUNK_BYTES = 8 * 2**20
NUM_NAMED = 3


def twins_across_splits(clips: pa.Table, *, by_content: bool) -> str | None:
    """A sentence about local videos of different given splits that are one file, or hold the same
    bytes; None where there are none.

    clips: with `video_uri` and `split`.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    if clips["split"].null_count == clips.num_rows:
        return None
    for uri, split in zip(clips["video_uri"].to_pylist(), clips["split"].to_pylist(), strict=True):
        if split is not None and not is_uri(uri):
            splits[uri].add(split)
    if len({split for some in splits.values() for split in some}) < 2:
        return None
    files: dict[Hashable, set[str]] = defaultdict(set)
    for uri, key in _keys(splits, by_content):
        files[key].add(uri)
    found = [
        sorted(uris)
        for uris in files.values()
        if len(uris) > 1 and len(set[str]().union(*(splits[uri] for uri in uris))) > 1
    ]
    if not found:
        return None
    named = "; ".join(
        " and ".join(f"{uri} ({'/'.join(sorted(splits[uri]))})" for uri in uris[:2])
        for uris in sorted(found)[:NUM_NAMED]
    )
    number = "1 file is" if len(found) == 1 else f"{len(found):,} files are"
    return f"{number} in two splits under two names: {named}{'; …' if found[NUM_NAMED:] else ''}"


def _keys(uris: dict[str, set[str]], by_content: bool) -> Iterator[tuple[str, Hashable]]:
    """What is the same for names of one file."""
    status = {}
    for uri in uris:
        try:
            status[uri] = os.stat(uri)
        except (OSError, ValueError):
            continue  # the step will say what is wrong with it
    num_of_size: dict[int, int] = defaultdict(int)
    for one in {(s.st_dev, s.st_ino): s for s in status.values()}.values():
        num_of_size[one.st_size] += 1
    for uri, one in status.items():
        if by_content and num_of_size[one.st_size] > 1:
            yield uri, _digest(uri) or (one.st_dev, one.st_ino)
        else:
            yield uri, (one.st_dev, one.st_ino)


def _digest(path: str) -> bytes | None:
    digest = hashlib.blake2b()
    try:
        with open(path, "rb") as file:
            while content := file.read(CHUNK_BYTES):
                digest.update(content)
    except OSError:
        return None
    return digest.digest()
