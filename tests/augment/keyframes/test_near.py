"""Near-identical clips are found by their hashes, and nothing else is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mama_augment.keyframes.look import grey_copy, look_hash
from mama_augment.keyframes.near import MOST_BITS, count_flags, near_identical, repeats

RNG = np.random.default_rng(0)


def flipped(hashes: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """The same with some bits of each hash turned over."""
    masks = [sum(1 << int(b) for b in rng.choice(64, bits, replace=False)) for _ in hashes]
    return hashes ^ np.array(masks, np.uint64)


@given(st.integers(0, MOST_BITS), st.integers(0, 2**32 - 1))
def test_every_pair_that_differs_in_few_bits_is_found(bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (40, 3), np.uint64)
    hashes[31] = flipped(hashes[7], bits, rng)
    assert np.flatnonzero(repeats(hashes)).tolist() == [31]


def test_of_many_alike_all_but_the_first_are_found_and_unlike_ones_are_not() -> None:
    hashes = RNG.integers(0, 2**64, (1000, 3), np.uint64)
    hashes[100:200] = hashes[100]
    hashes[300:310] = flipped(hashes[300], 20, RNG)  # alike among themselves
    hashes[300] = RNG.integers(0, 2**64, 3, np.uint64)
    found = repeats(hashes)
    assert np.flatnonzero(found).tolist() == [*range(101, 200), *range(302, 310)]


def clips(rows: list[tuple[str, list[str], list[int]]]) -> pa.Table:
    names = ("clip_id", "flags", "frame_hashes")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def test_flags_are_counted_with_near_identical_ones_across_units() -> None:
    look = [1 << 40, -5, 12345]
    one = clips([("a", [], look), ("b", ["black", "static"], [0, 0]), ("c", ["static"], [7, 7])])
    two = clips([("d", [], look), ("e", ["black", "static"], [0, 0])])
    assert near_identical([one, two]) == ["d"]
    assert count_flags([one, two]) == {"black": 2, "static": 3, "near_identical": 1}
    assert count_flags([]) == {}


@pytest.mark.parametrize("quality", [30, 90])
def test_a_smaller_and_coarser_copy_of_a_picture_is_near_identical(quality: int) -> None:
    import io

    coarse = RNG.integers(0, 255, (6, 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    picture.resize((160, 120)).save(sink, "JPEG", quality=quality)
    hashes = [look_hash(grey_copy(np.asarray(p))) for p in (picture, Image.open(sink))]
    assert int(hashes[0] ^ hashes[1]).bit_count() <= MOST_BITS
