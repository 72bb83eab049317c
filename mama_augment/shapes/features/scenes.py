"""Which scene a clip shows, what its caption says, and the vector that stands for the clip.

A scene is one of 40 concepts in one of 30 motions. Its vector is tanh of a mixture of the concept's
and the motion's embeddings, which are drawn once per world, with noise:

    x = tanh((concept + motion) M) + noise

So neither is a direction of its own: a model has to find both behind a nonlinearity.

Shapes: N clips of a piece, W numbers per vector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mama_augment.core.draws import Draws, hash_salt
from mama_augment.core.schema import HELD_OUT
from mama_augment.shapes.features.config import FeaturesConfig

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
Ints = NDArray[np.int64]
MOTIONS_PER_SPLIT = len(MOTIONS) // len(HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Clips of a split, from number `first` on. concept_N, motion_N: what they show;
    told_concept_N, told_motion_N: what their captions say."""

    split: str
    first: int
    concept_N: Ints
    motion_N: Ints
    told_concept_N: Ints
    told_motion_N: Ints
    vectors_NW: NDArray[np.float32]

    @property
    def clip_ids(self) -> list[str]:
        return [f"{self.split}-{self.first + i:06d}" for i in range(len(self.concept_N))]

    @property
    def texts(self) -> list[str]:
        told = zip(self.told_concept_N.tolist(), self.told_motion_N.tolist(), strict=True)
        return [f"a {CONCEPTS[concept]} {MOTIONS[motion]}" for concept, motion in told]

    @property
    def is_aligned_N(self) -> NDArray[np.bool_]:
        return (self.concept_N == self.told_concept_N) & (self.motion_N == self.told_motion_N)


def make_piece(config: FeaturesConfig, split: str, first: int, num: int) -> Piece:
    """Clips `first` … of a split; which they are depends on the seed, the split, and where the
    piece begins, not on how many follow."""
    rng = np.random.default_rng(hash_salt(config.seed, split, first))
    draw = _train_scenes if split == "train" else _clean_scenes
    concept_N, motion_N = told = draw(config, split, np.arange(first, first + num), rng)
    if split == "train":
        told = _told(config, (concept_N, motion_N), rng)
    return Piece(
        split=split,
        first=first,
        concept_N=concept_N,
        motion_N=motion_N,
        told_concept_N=told[0],
        told_motion_N=told[1],
        vectors_NW=_vectors(config, concept_N, motion_N, rng),
    )


def _train_scenes(
    config: FeaturesConfig, split: str, number_N: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Concepts by Zipf's law, motions evenly. Which concepts are frequent depends on the seed."""
    ranked = np.array(Draws((config.seed, "ranks")).shuffled("concepts", range(len(CONCEPTS))))
    share = np.arange(1, len(CONCEPTS) + 1, dtype=np.float64) ** -config.zipf_exponent
    num = len(number_N)
    concept_N = ranked[rng.choice(len(CONCEPTS), num, p=share / share.sum())]
    return concept_N, rng.integers(0, len(MOTIONS), num)


def _told(
    config: FeaturesConfig, shown: tuple[Ints, Ints], rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """What train captions say: at the noise rate another scene, drawn as the clips' own are."""
    concept_N, motion_N = (part.copy() for part in shown)
    wrong_N = rng.random(len(concept_N)) < config.noise_rate
    while wrong_N.any():
        places = np.flatnonzero(wrong_N)
        concept_N[places], motion_N[places] = _train_scenes(config, "train", places, rng)
        wrong_N &= (concept_N == shown[0]) & (motion_N == shown[1])
    return concept_N, motion_N


def _clean_scenes(
    config: FeaturesConfig, split: str, number_N: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Concepts take turns. Each concept's motions are dealt out to the three splits, ten each."""
    order = np.array(Draws((config.seed, split)).shuffled("concepts", range(len(CONCEPTS))))
    dealt_CM = np.array(
        [
            Draws((config.seed, "clean", concept)).shuffled("motions", range(len(MOTIONS)))
            for concept in CONCEPTS
        ]
    )
    concept_N = order[number_N % len(CONCEPTS)]
    turn_N = number_N // len(CONCEPTS) % MOTIONS_PER_SPLIT
    return concept_N, dealt_CM[concept_N, HELD_OUT.index(split) * MOTIONS_PER_SPLIT + turn_N]


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
