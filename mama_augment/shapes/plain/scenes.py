"""Which scene a clip shows, what its caption says, and its frames.

A scene is a coloured shape (6 to 12 of them) that makes two motions, one after the other (30 pairs
of different ones). It is filmed plainly: one shot, a still camera, no tilt; background, place,
size, tint and speed are the take's own. Every concept's 30 motions are dealt out once per world:
8 are of the test split alone, 4 of val alone, and 18 of train and meta.

Shapes: N clips of a piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa

from mama_augment.core.draws import Draws, hash_salt
from mama_augment.core.schema import frame_shards
from mama_augment.shapes.plain.config import PlainConfig
from mama_augment.shapes.shards.piece import (
    Ints,
    Piece,
    Scenes,
    wrong_at_the_rate,
    zipf_concepts,
)
from mama_augment.shapes.world.render import render_frame
from mama_augment.shapes.world.sampling import dealt
from mama_augment.shapes.world.scene import FEW_CONCEPTS, MOTION_PAIRS, Scene
from mama_augment.shapes.world.take import FPS, Take, plain_take

FRAMES = 12
SIZE_PX = 48
"""Frames are squeezed into squares, so that a model's square crop loses nothing of the motion."""
QUALITY = 92


@dataclass(frozen=True, kw_only=True)
class PlainWorld:
    """See `shards.piece.ShardsWorld`."""

    config: PlainConfig
    kind = "plain"
    clips_per_unit = 256

    @property
    def concepts(self) -> Sequence[str]:
        return list(FEW_CONCEPTS[: self.config.num_concepts])

    @property
    def schema(self) -> pa.Schema:
        return frame_shards()

    def piece(self, split: str, first: int, num: int) -> Piece:
        rng = np.random.default_rng(hash_salt(self.config.seed, split, first))
        number_N = np.arange(first, first + num)
        if split == "train":
            concept_N, motion_N = self._train(number_N, rng)
        else:
            concept_N, motion_N = self._clean(split, number_N)
        shown = told = Scenes(concept_N=concept_N, motion_N=motion_N)
        if split == "train":
            told = wrong_at_the_rate(self.config.noise_rate, shown, self._train, rng)
        draws = [Draws((self.config.seed, "plain", split, n)) for n in number_N.tolist()]
        takes = [plain_take(scene, draw) for scene, draw in zip(scenes(shown), draws, strict=True)]
        return Piece(
            split=split,
            first=first,
            shown=shown,
            told=told,
            texts=[scene.caption for scene in scenes(told)],
            columns={
                "frames": pa.array([jpegs(take) for take in takes]),
                "frame_seconds": pa.array([(places(take) / FPS).tolist() for take in takes]),
            },
        )

    def _train(self, number_N: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Concepts by Zipf's law, their motions evenly."""
        concept_N = zipf_concepts(self.config, self.config.num_concepts, len(number_N), rng)
        dealt_CM = self._dealt("train")
        return concept_N, dealt_CM[concept_N, rng.integers(0, dealt_CM.shape[1], len(number_N))]

    def _clean(self, split: str, number_N: Ints) -> tuple[Ints, Ints]:
        """Concepts take turns, and so do the motions that the split has of each."""
        num, dealt_CM = self.config.num_concepts, self._dealt(split)
        concept_N = number_N % num
        return concept_N, dealt_CM[concept_N, number_N // num % dealt_CM.shape[1]]

    def _dealt(self, split: str) -> Ints:
        """The motions of each concept that a split has, by number."""
        return np.array([dealt(self.config.seed, concept, split) for concept in self.concepts])


def scenes(some: Scenes) -> list[Scene]:
    """Numbers to scenes."""
    found = []
    for concept, motion in zip(some.concept_N.tolist(), some.motion_N.tolist(), strict=True):
        (colour, shape), (first, second) = FEW_CONCEPTS[concept].split(), MOTION_PAIRS[motion]
        found.append(Scene(colour=colour, shape=shape, first_motion=first, second_motion=second))
    return found


def places(take: Take) -> Ints:
    """Which frames are kept: evenly spread, first and last included."""
    return np.linspace(0, take.num_frames - 1, FRAMES).round().astype(np.int64)


def jpegs(take: Take) -> list[bytes]:
    """The kept frames, small, as JPEG files."""
    files = []
    for place in places(take).tolist():
        frame = render_frame(take, place)
        small = cv2.resize(frame, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        files.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    return files
