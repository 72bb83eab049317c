"""Clips that look like an earlier one, by the hashes of their key frames: no picture is decoded.

Two clips are near-identical when their first, middle and last key frames differ in at most
MOST_BITS bits each. Of 64 bits in four bands of 16, a band is the same when no more than three
differ: so each pair of clips that is looked for agrees in one of four bands of the first frame and
one of four of the last. The clips are sorted 16 times, by each of these pairs of bands, and
compared with the first and the next of those that agree. That is linear but for the sorting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mama_augment.core.shared.flags import BLACK, FLAGS, NEAR_IDENTICAL

MOST_BITS = 3
NUM_BANDS = 4
BAND_BITS = 16
COLUMNS = ["clip_id", "flags", "frame_hashes"]
"""Of the clips table."""

Hashes = npt.NDArray[np.uint64]


def near_identical(tables: Iterable[pa.Table]) -> list[str]:
    """The ids of clips that look like a clip before them. Black clips are left out: they all look
    alike, and have a flag of their own."""
    ids: list[str] = []
    hashes: list[Hashes] = []
    for table in tables:
        rows = zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
        for clip_id, flags, found in rows:
            if found and BLACK not in (flags or ()):
                ids.append(clip_id)
                hashes.append(signature(found))
    if not ids:
        return []
    return [ids[place] for place in np.flatnonzero(repeats(np.stack(hashes)))]


def count_flags(tables: Iterable[pa.Table]) -> dict[str, int]:
    """By flag, the clips that have it; `near_identical` with the others.

    tables: with COLUMNS.
    """
    kept = list(tables)
    columns = [table["flags"] for table in kept]
    found = Counter(flag for column in columns for own in column.to_pylist() for flag in own or ())
    found[NEAR_IDENTICAL] = len(near_identical(kept))
    return {name: found[name] for name in (*FLAGS, NEAR_IDENTICAL) if found[name]}


def signature(hashes: Sequence[int]) -> Hashes:
    """uint64 [3]: of the first, the middle and the last key frame."""
    chosen = [hashes[0], hashes[len(hashes) // 2], hashes[-1]]
    return np.array(chosen, np.int64).view(np.uint64)


def repeats(hashes_N3: Hashes) -> npt.NDArray[np.bool_]:
    """bool [N]: whether a clip is near-identical to one before it."""
    found = np.zeros(len(hashes_N3), bool)
    for band in range(NUM_BANDS**2):
        first, last = divmod(band, NUM_BANDS)
        key = (_band(hashes_N3[:, 0], first) << np.uint64(BAND_BITS)) | _band(hashes_N3[:, 2], last)
        order = np.argsort(key, kind="stable")  # equal ones stay in the order of the clips
        same = key[order][1:] == key[order][:-1]
        starts = np.append(0, np.flatnonzero(~same) + 1)
        run = np.cumsum(np.append(False, ~same))
        for other in (order[starts][run][1:], order[:-1]):
            differ = np.bitwise_count(hashes_N3[order[1:]] ^ hashes_N3[other])
            found[order[1:][same & (differ.max(axis=1) <= MOST_BITS)]] = True
    return found


def _band(hashes: Hashes, number: int) -> Hashes:
    band: Hashes = (hashes >> np.uint64(number * BAND_BITS)) & np.uint64(2**BAND_BITS - 1)
    return band
