"""Training material for the bundled captioner: clips filmed, compressed, decoded and cut to
grid cells, as the pipeline's own steps would.

A pool holds `num_kept` frames of each of many takes, at cell size; a grid is 12 of them. Which 12
is drawn anew at each use, so that the captioner sees many key-frame picks of every take.
"""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from mama_augment.core.draws import Draws
from mama_augment.core.shared.jpeg import decode_jpeg
from mama_augment.shapes.world.encode import draw_coding, write_h264
from mama_augment.shapes.world.render import Image, object_state, render_clip
from mama_augment.shapes.world.scene import Scene, all_scenes, is_held_out
from mama_augment.shapes.world.take import FPS, draw_take

CELL_WIDTH_PX, CELL_HEIGHT_PX = 60, 80
GRID_ROWS, GRID_COLUMNS = 3, 4
NUM_CELLS = GRID_ROWS * GRID_COLUMNS


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """`num_takes` takes of scenes that are not held out, `num_kept` frames of each."""

    seed: int = 20240708
    num_takes: int = 8000
    num_kept: int = 20


def pool_scene(config: PoolConfig, index: int) -> Scene:
    """The scene of take `index`: all scenes that are not held out, in turn, in a hashed order."""
    scenes = _seen_scenes(config.seed)
    return scenes[index % len(scenes)]


@lru_cache(maxsize=1)
def _seen_scenes(seed: int) -> list[Scene]:
    seen = [scene for scene in all_scenes() if not is_held_out(scene)]
    return Draws((seed, "pool")).shuffled("order", seen)


def film(config: PoolConfig, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Cells uint8 [num_kept, CELL_HEIGHT_PX, CELL_WIDTH_PX, 3] of take `index` and the object's
    state float32 [num_kept, 4] in each: x, y, diameter (in frame widths) and time (0..1).
    """
    draws = Draws((config.seed, "pool", index))
    take = draw_take(pool_scene(config, index), draws)
    buffer = io.BytesIO()
    write_h264(buffer, render_clip(take), draw_coding(draws), fps=FPS)
    buffer.seek(0)
    with av.open(buffer) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == take.num_frames
    # Spread over the clip, each at a hashed place in its own stretch: always distinct.
    edges = np.linspace(0, take.num_frames, config.num_kept + 1)
    picks = [
        int(draws.uniform(f"pick {k}", np.ceil(edges[k]), np.ceil(edges[k + 1])))
        for k in range(config.num_kept)
    ]
    quality = draws.integer("jpeg", 80, 95)
    cells = np.stack([_cell(frames[pick], quality) for pick in picks])
    last = take.num_frames - 1
    states = [(*object_state(take, pick), pick / last) for pick in picks]
    return cells, np.array(states, np.float32)


def _cell(frame: Image, quality: int) -> Image:
    """Through JPEG, as in the clips table, and down to cell size."""
    _, jpeg = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    size = (CELL_WIDTH_PX, CELL_HEIGHT_PX)
    return cv2.resize(decode_jpeg(jpeg.tobytes()), size, interpolation=cv2.INTER_AREA)


def tile(cells: npt.NDArray[np.uint8]) -> Image:
    """Cells [12, h, w, 3] in reading order as one image [3 h, 4 w, 3]."""
    _, height, width, _ = cells.shape
    rows = cells.reshape(GRID_ROWS, GRID_COLUMNS, height, width, 3)
    return rows.transpose(0, 2, 1, 3, 4).reshape(GRID_ROWS * height, GRID_COLUMNS * width, 3)


def make_pool(config: PoolConfig, directory: Path, *, num_workers: int = 2) -> None:
    """Film every take into `directory`: cells.npy uint8 [num_takes, num_kept, h, w, 3] and
    states.npy float32 [num_takes, num_kept, 4].
    """
    directory.mkdir(parents=True, exist_ok=True)
    shape = (config.num_takes, config.num_kept, CELL_HEIGHT_PX, CELL_WIDTH_PX, 3)
    cells = np.lib.format.open_memmap(directory / "cells.npy", "w+", np.uint8, shape)
    states = np.zeros((config.num_takes, config.num_kept, 4), np.float32)
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as workers:
        jobs = workers.map(partial(film, config), range(config.num_takes), chunksize=20)
        for index, (take_cells, take_states) in enumerate(jobs):
            cells[index], states[index] = take_cells, take_states
    cells.flush()
    np.save(directory / "states.npy", states)
