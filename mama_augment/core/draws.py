"""Random draws that are a hash of their key: no state, no order, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


def draw_bits(*key: object) -> int:
    """64 uniform bits that are a hash of their key: no state, no order, the same everywhere."""
    message = "|".join(map(str, key)).encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "big")


def draw_unit(*key: object) -> float:
    """Uniform in [0, 1), a hash of its key."""
    return (draw_bits(*key) >> 11) / (1 << 53)


def mix(values: NDArray[np.int64], salt: int) -> NDArray[np.uint64]:
    """splitmix64 of each value with a salt, in the values' shape: 64 uniform bits, the same on
    every machine and NumPy version."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(salt % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def hash_salt(*parts: object) -> int:
    """An integer below 2^62 from any printable parts, to be the salt of `mix`."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 2


@dataclass(frozen=True)
class Draws:
    """Draws below one key, e.g. `Draws((seed, "train", 17))`.

    Every draw has a name; the same key and name give the same value, whatever was drawn before.
    """

    key: tuple[int | str, ...]

    def bits(self, name: str) -> int:
        """64 uniformly distributed bits."""
        return draw_bits(*self.key, name)

    def unit(self, name: str) -> float:
        """Uniform in [0, 1)."""
        return draw_unit(*self.key, name)

    def uniform(self, name: str, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit(name)

    def integer(self, name: str, low: int, high: int) -> int:
        """Uniform in low..high, both included."""
        return low + int(self.unit(name) * (high - low + 1))

    def choice(self, name: str, items: Sequence[Item]) -> Item:
        """One of `items`, each as likely."""
        return items[int(self.unit(name) * len(items))]

    def shuffled(self, name: str, items: Sequence[Item]) -> list[Item]:
        """`items` in an order of their own hashes."""
        order = sorted(range(len(items)), key=lambda i: (self.bits(f"{name}/{i}"), i))
        return [items[i] for i in order]

    def generator(self, name: str) -> np.random.Generator:
        """A numpy generator for arrays (textures), seeded by the hash."""
        return np.random.Generator(np.random.PCG64(self.bits(name)))
