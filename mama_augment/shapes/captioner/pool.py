"""Training grids drawn from the filmed pool: twelve clips at once, or one clip in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.shapes.captioner.cells import NUM_CELLS, PoolConfig, pool_scene, tile
from mama_augment.shapes.world.scene import COLOURS, SHAPES, Scene, is_held_out

REVERSED = {
    "moves left": "moves right",
    "moves right": "moves left",
    "moves up": "moves down",
    "moves down": "moves up",
    "grows": "shrinks",
    "shrinks": "grows",
}


class Pool:
    """Filmed takes on disk, and the grids drawn from them."""

    def __init__(self, config: PoolConfig, directory: Path) -> None:
        self.cells = np.load(directory / "cells.npy", mmap_mode="r")
        self.states = np.load(directory / "states.npy")
        self.scenes = [pool_scene(config, i) for i in range(config.num_takes)]
        self.colours = np.array([COLOURS.index(scene.colour) for scene in self.scenes])
        self.shapes = np.array([SHAPES.index(scene.shape) for scene in self.scenes])

    def mixed_grid(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Any, Any]:
        """A grid of twelve cells from twelve takes; labels [12, 2] and places [12, 3]."""
        takes = rng.integers(len(self.scenes), size=NUM_CELLS)
        picks = rng.integers(self.states.shape[1], size=NUM_CELLS)
        cells = np.stack([self.cells[t, k] for t, k in zip(takes, picks, strict=True)])
        labels = np.stack([self.colours[takes], self.shapes[takes]], axis=1)
        return tile(cells), labels, self.states[takes, picks, :3]

    def clip_grid(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Scene]:
        """A grid of one take's cells in order, and the scene that it then shows.

        Half are mirrored and half run backwards, which swaps the motions' names; a result that
        is held out is not used.
        """
        index = int(rng.integers(len(self.scenes)))
        cells = self.cells[index, key_frames(self.states.shape[1], rng)]
        scene = self.scenes[index]
        if rng.random() < 0.5 and not is_held_out(mirrored(scene)):
            cells, scene = cells[:, :, ::-1], mirrored(scene)
        if rng.random() < 0.5 and not is_held_out(backwards(scene)):
            cells, scene = cells[::-1], backwards(scene)
        return tile(cells), scene


def key_frames(num_kept: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Twelve of the kept frames, sorted: now evenly, now at random, at least four per half."""
    if rng.random() < 0.3:
        shift = rng.random()
        return ((np.arange(NUM_CELLS) + shift) * num_kept / NUM_CELLS).astype(np.int64)
    while True:
        picks = np.sort(rng.choice(num_kept, NUM_CELLS, replace=False))
        if 4 <= int((picks < num_kept // 2).sum()) <= NUM_CELLS - 4:
            return picks


def mirrored(scene: Scene) -> Scene:
    """The scene seen in a mirror: left and right change places."""
    swap = {"moves left": "moves right", "moves right": "moves left"}
    return Scene(
        colour=scene.colour,
        shape=scene.shape,
        first_motion=swap.get(scene.first_motion, scene.first_motion),
        second_motion=swap.get(scene.second_motion, scene.second_motion),
    )


def backwards(scene: Scene) -> Scene:
    """The scene with time reversed: each motion undone, the second one first."""
    return Scene(
        colour=scene.colour,
        shape=scene.shape,
        first_motion=REVERSED[scene.second_motion],
        second_motion=REVERSED[scene.first_motion],
    )
