"""Which scene a clip shows, what its caption says, and the vector that stands for the clip.

A scene is one of 40 concepts in one of 30 motions. Its vector is tanh of a mixture of the concept's
and the motion's embeddings, which are drawn once per world, with noise:

    x = tanh((concept + motion) M) + noise

So neither is a direction of its own: a model has to find both behind a nonlinearity.

Shapes: N clips of a piece, W numbers per vector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mama_augment.core.draws import Draws, hash_salt
from mama_augment.core.schema import HELD_OUT, feature_shards
from mama_augment.shapes.features.config import FeaturesConfig
from mama_augment.shapes.shards.piece import (
    Ints,
    Piece,
    Scenes,
    wrong_at_the_rate,
    zipf_concepts,
)

CONCEPTS = tuple(
    re.findall(
        r"\w+",
        """
        badger bear beetle cat cow crab crow deer dog dolphin duck falcon fox frog goat goose hare
        hedgehog hen horse lamb lizard lynx mole monkey moose mouse parrot penguin pig rabbit rat
        seal sheep snake spider swan tiger toad wolf
        """,
    )
)
MOTIONS = tuple(
    re.findall(
        r"\w+",
        """
        bows climbs crawls creeps dances digs dives dozes drinks eats falls fights floats flees
        hides hops hunts jumps limps listens marches plays rests rolls runs shivers sings spins
        swims waits
        """,
    )
)
MOTIONS_PER_SPLIT = len(MOTIONS) // len(HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class FeaturesWorld:
    """See `shards.piece.ShardsWorld`."""

    config: FeaturesConfig
    kind = "features"
    clips_per_unit = 4096

    @property
    def concepts(self) -> Sequence[str]:
        return CONCEPTS

    @property
    def schema(self) -> pa.Schema:
        return feature_shards(self.config.feature_dim)

    def piece(self, split: str, first: int, num: int) -> Piece:
        rng = np.random.default_rng(hash_salt(self.config.seed, split, first))
        if split == "train":
            concept_N, motion_N = self._train(np.arange(num), rng)
        else:
            concept_N, motion_N = self._clean(split, np.arange(first, first + num))
        shown = told = Scenes(concept_N=concept_N, motion_N=motion_N)
        if split == "train":
            told = wrong_at_the_rate(self.config.noise_rate, shown, self._train, rng)
        vectors_NW = _vectors(self.config, concept_N, motion_N, rng)
        pairs = zip(told.concept_N.tolist(), told.motion_N.tolist(), strict=True)
        return Piece(
            split=split,
            first=first,
            shown=shown,
            told=told,
            texts=[f"a {CONCEPTS[concept]} {MOTIONS[motion]}" for concept, motion in pairs],
            columns={"features": _as_lists(vectors_NW)},
        )

    def _train(self, number_N: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Concepts by Zipf's law, motions evenly."""
        concept_N = zipf_concepts(self.config, len(CONCEPTS), len(number_N), rng)
        return concept_N, rng.integers(0, len(MOTIONS), len(number_N))

    def _clean(self, split: str, number_N: Ints) -> tuple[Ints, Ints]:
        """Concepts take turns. Each concept's motions are dealt out to three splits, ten each."""
        seed = self.config.seed
        order = np.array(Draws((seed, split)).shuffled("concepts", range(len(CONCEPTS))))
        dealt_CM = np.array(
            [
                Draws((seed, "clean", concept)).shuffled("motions", range(len(MOTIONS)))
                for concept in CONCEPTS
            ]
        )
        concept_N = order[number_N % len(CONCEPTS)]
        turn_N = number_N // len(CONCEPTS) % MOTIONS_PER_SPLIT
        place_N = HELD_OUT.index(split) * MOTIONS_PER_SPLIT + turn_N
        return concept_N, dealt_CM[concept_N, place_N]


def _as_lists(vectors_NW: NDArray[np.float32]) -> pa.Array:
    """A list of one vector per clip."""
    num, width = vectors_NW.shape
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(vectors_NW.reshape(-1)), width)
    kind = feature_shards(width).field("features").type
    return pa.ListArray.from_arrays(
        pa.array(np.arange(num + 1, dtype=np.int32)), vectors, type=kind
    )


def _vectors(
    config: FeaturesConfig, concept_N: Ints, motion_N: Ints, rng: np.random.Generator
) -> NDArray[np.float32]:
    width = config.feature_dim
    world = np.random.default_rng(hash_salt(config.seed, "embeddings"))
    concept_CW = world.normal(size=(len(CONCEPTS), width))
    motion_MW = world.normal(size=(len(MOTIONS), width))
    mix_WW = world.normal(size=(width, width)) / np.sqrt(width)
    scene_NW = np.tanh((concept_CW[concept_N] + motion_MW[motion_N]) @ mix_WW)
    return (scene_NW + config.feature_noise * rng.normal(size=scene_NW.shape)).astype(np.float32)
