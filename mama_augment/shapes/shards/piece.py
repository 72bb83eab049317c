"""Some clips of a made world: what they show, what their captions say, and what stands for them.

Shapes: N clips of a piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mama_augment.core.draws import Draws
from mama_augment.shapes.shards.config import ShardsWorldConfig

Ints = NDArray[np.int64]
DrawScenes = Callable[[Ints, np.random.Generator], tuple[Ints, Ints]]
"""(concepts, motions) of the clips of these numbers."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Scenes of clips, or of their captions: numbers of concepts and of motions."""

    concept_N: Ints
    motion_N: Ints

    def same_N(self, other: Scenes) -> NDArray[np.bool_]:
        return (self.concept_N == other.concept_N) & (self.motion_N == other.motion_N)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Clips of a split, from number `first` on. shown: what they show; told: what their captions
    say. columns: what stands for a clip in its row, by name."""

    split: str
    first: int
    shown: Scenes
    told: Scenes
    texts: Sequence[str]
    columns: dict[str, pa.Array]

    @property
    def clip_ids(self) -> list[str]:
        return [f"{self.split}-{self.first + i:06d}" for i in range(len(self.texts))]

    @property
    def is_aligned_N(self) -> NDArray[np.bool_]:
        return self.shown.same_N(self.told)


class ShardsWorld(Protocol):
    """A world to be made as shards."""

    kind: str
    clips_per_unit: int

    @property
    def config(self) -> ShardsWorldConfig: ...

    @property
    def concepts(self) -> Sequence[str]:
        """Names by number."""

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""

    def piece(self, split: str, first: int, num: int) -> Piece:
        """Clips `first` … of a split. Which they are depends on the seed, the split and where the
        piece begins, not on how many follow."""


def zipf_concepts(
    config: ShardsWorldConfig, num_concepts: int, num: int, rng: np.random.Generator
) -> Ints:
    """Concepts by Zipf's law. Which concepts are frequent depends on the seed."""
    ranked = np.array(Draws((config.seed, "ranks")).shuffled("concepts", range(num_concepts)))
    share = np.arange(1, num_concepts + 1, dtype=np.float64) ** -config.zipf_exponent
    return ranked[rng.choice(num_concepts, num, p=share / share.sum())]


def wrong_at_the_rate(
    noise_rate: float, shown: Scenes, draw: DrawScenes, rng: np.random.Generator
) -> Scenes:
    """What train captions say: at the noise rate another scene, drawn as the clips' own are."""
    concept_N, motion_N = shown.concept_N.copy(), shown.motion_N.copy()
    wrong_N = rng.random(len(concept_N)) < noise_rate
    while wrong_N.any():
        places = np.flatnonzero(wrong_N)
        concept_N[places], motion_N[places] = draw(places, rng)
        wrong_N &= (concept_N == shown.concept_N) & (motion_N == shown.motion_N)
    return Scenes(concept_N=concept_N, motion_N=motion_N)


def truth_fields(piece: Piece, trusted: bool) -> list[dict[str, Any]]:
    """One caption per clip, as shards hold it."""
    return [
        {
            "text": text,
            "source": "human",
            "trusted": trusted,
            "concept_ids": [concept],
            "keep_probability": 1.0,
            "is_aligned": is_aligned,
        }
        for text, concept, is_aligned in zip(
            piece.texts, piece.told.concept_N.tolist(), piece.is_aligned_N.tolist(), strict=True
        )
    ]
