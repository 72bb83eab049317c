"""Which scene each video of a world shows: Zipf in train, uniform in meta, val and test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.config import CLEAN_SPLITS
from mama_augment.shapes.world.scene import CONCEPTS, FEW_CONCEPTS, MOTION_PAIRS, Scene


@dataclass(frozen=True, kw_only=True)
class Space:
    """The scenes of a world."""

    concepts: tuple[str, ...]
    motions: Callable[[int, str, str], Sequence[int]]
    """(seed, concept, split) → the motion pairs that the split has of the concept."""


def _thirds(seed: int, concept: str, split: str) -> Sequence[int]:
    """Train has all 30; meta, val and test ten each, so that no scene is in two of them."""
    if split == "train":
        return range(len(MOTION_PAIRS))
    share = len(MOTION_PAIRS) // len(CLEAN_SPLITS)
    first = CLEAN_SPLITS.index(split) * share
    return _shuffled(seed, concept)[first : first + share]


DEALT = {"test": slice(0, 8), "val": slice(8, 12), "meta": slice(12, 30), "train": slice(12, 30)}
"""Places in a concept's order of motions that a split of few scenes has."""


def dealt(seed: int, concept: str, split: str) -> Sequence[int]:
    """8 are of test alone, 4 of val alone, and 18 of train and meta."""
    return _shuffled(seed, concept)[DEALT[split]]


def _shuffled(seed: int, concept: str) -> list[int]:
    return Draws((seed, "clean", concept)).shuffled("motions", range(len(MOTION_PAIRS)))


SPACES = {
    "many": Space(concepts=CONCEPTS, motions=_thirds),
    "few": Space(concepts=FEW_CONCEPTS[:6], motions=dealt),
}


@lru_cache(maxsize=8)
def concepts_by_rank(seed: int, space: Space = SPACES["many"]) -> tuple[str, ...]:
    """The concepts from the most to the least frequent: which is which depends on the seed."""
    return tuple(Draws((seed, "ranks")).shuffled("concepts", space.concepts))


@lru_cache(maxsize=8)
def zipf_cumulative(exponent: float, num_concepts: int = len(CONCEPTS)) -> tuple[float, ...]:
    """Cumulative shares of the ranks: share of rank r proportional to r^-exponent."""
    shares = np.arange(1, num_concepts + 1, dtype=np.float64) ** -exponent
    return tuple(np.cumsum(shares / shares.sum()).tolist())


def train_scene(seed: int, index: int, exponent: float, space: Space, name: str = "scene") -> Scene:
    """The scene of train video `index`: its concept's rank is Zipf, its motions are uniform.

    `name` tells independent draws apart, e.g. a misaligned caption's scene.
    """
    draws, concepts = Draws((seed, "train", index, name)), concepts_by_rank(seed, space)
    shares = zipf_cumulative(exponent, len(concepts))
    rank = int(np.searchsorted(shares, draws.unit("rank"), side="right"))
    concept = concepts[min(rank, len(concepts) - 1)]
    pairs = space.motions(seed, concept, "train")
    return _scene(concept, pairs[draws.integer("motions", 0, len(pairs) - 1)])


def clean_scene(seed: int, split: str, index: int, space: Space) -> Scene:
    """The scene of video `index` of meta, val or test: concepts take turns, and so do the motion
    pairs that the split has of each, so that none comes twice before all came once."""
    concepts = Draws((seed, split)).shuffled("concepts", space.concepts)
    concept, turn = concepts[index % len(concepts)], index // len(concepts)
    pairs = space.motions(seed, concept, split)
    return _scene(concept, pairs[turn % len(pairs)])


def _scene(concept: str, pair_index: int) -> Scene:
    colour, shape = concept.split()
    first, second = MOTION_PAIRS[pair_index]
    return Scene(colour=colour, shape=shape, first_motion=first, second_motion=second)
