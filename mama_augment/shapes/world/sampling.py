"""Which scene each video of a world shows: Zipf in train, uniform in meta, val and test."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.config import CLEAN_SPLITS
from mama_augment.shapes.world.scene import CONCEPTS, MOTION_PAIRS, Scene


@lru_cache(maxsize=8)
def concepts_by_rank(seed: int) -> tuple[str, ...]:
    """The concepts from the most to the least frequent: which is which depends on the seed."""
    return tuple(Draws((seed, "ranks")).shuffled("concepts", CONCEPTS))


@lru_cache(maxsize=8)
def zipf_cumulative(exponent: float) -> tuple[float, ...]:
    """Cumulative shares of the ranks: share of rank r proportional to r^-exponent."""
    shares = np.arange(1, len(CONCEPTS) + 1, dtype=np.float64) ** -exponent
    return tuple(np.cumsum(shares / shares.sum()).tolist())


def train_scene(seed: int, index: int, exponent: float, name: str = "scene") -> Scene:
    """The scene of train video `index`: its concept's rank is Zipf, its motions are uniform.

    `name` tells independent draws apart, e.g. a misaligned caption's scene.
    """
    draws = Draws((seed, "train", index, name))
    rank = int(np.searchsorted(zipf_cumulative(exponent), draws.unit("rank"), side="right"))
    concept = concepts_by_rank(seed)[min(rank, len(CONCEPTS) - 1)]
    return _scene(concept, draws.integer("motions", 0, len(MOTION_PAIRS) - 1))


def clean_scene(seed: int, split: str, index: int) -> Scene:
    """The scene of video `index` of meta, val or test.

    Concepts take turns. Each concept's 30 motion pairs are dealt out to the three splits, ten
    each, so that no scene is in two of them and none twice in the first 400 of one.
    """
    concepts = Draws((seed, split)).shuffled("concepts", CONCEPTS)
    concept, turn = concepts[index % len(concepts)], index // len(concepts)
    pairs = Draws((seed, "clean", concept)).shuffled("motions", range(len(MOTION_PAIRS)))
    share = len(pairs) // len(CLEAN_SPLITS)
    place = CLEAN_SPLITS.index(split) * share + turn % share
    return _scene(concept, pairs[place])


def _scene(concept: str, pair_index: int) -> Scene:
    colour, shape = concept.split()
    first, second = MOTION_PAIRS[pair_index]
    return Scene(colour=colour, shape=shape, first_motion=first, second_motion=second)
