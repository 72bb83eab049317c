"""Random draws that are a hash of their key: no state, no order, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def draw_bits(*key: object) -> int:
    """64 uniform bits that are a hash of their key: no state, no order, the same everywhere."""
    message = "|".join(map(str, key)).encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), "big")


def draw_unit(*key: object) -> float:
    """Uniform in [0, 1), a hash of its key."""
    return (draw_bits(*key) >> 11) / (1 << 53)


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
