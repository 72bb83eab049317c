"""Draw a take's frames: a textured background, one outlined shape, a slightly shaking camera."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.take import FPS, HEIGHT_PX, WIDTH_PX, Shot, Take

Image = npt.NDArray[np.uint8]

COLOUR_RGB = {
    "red": (225, 30, 35),
    "orange": (255, 140, 15),
    "yellow": (250, 235, 40),
    "green": (35, 170, 50),
    "cyan": (60, 225, 230),
    "blue": (35, 65, 230),
    "purple": (165, 45, 200),
    "white": (250, 250, 250),
}
MARGIN_PX = 16
"""How far the background reaches beyond the frame, for the shake."""

SUBPIXEL_BITS = 4


def polygon(shape: str) -> npt.NDArray[np.float64]:
    """Corners [N, 2] of a shape of diameter 1 around the origin; y grows downwards."""
    if shape == "circle":
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        return 0.5 * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    if shape == "square":
        return 0.45 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64)
    if shape == "triangle":
        return np.array([(0, -0.5), (0.52, 0.42), (-0.52, 0.42)])
    if shape == "star":
        angles = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2 == 0, 0.56, 0.23)
        return radii[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    assert shape == "cross", shape
    a, b = 0.16, 0.5
    arm = np.array([(-a, -b), (a, -b), (a, -a)])  # the upper one; the rest are its quarter turns
    turns = [np.array([(c, s), (-s, c)]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    return np.concatenate([arm @ turn for turn in turns])


def object_state(take: Take, index: int) -> tuple[float, float, float]:
    """Centre x, y and diameter of the object in frame `index`, in frame widths."""
    time = index / (take.num_frames - 1)
    parts = [
        float(np.clip((time - start) / (end - start), 0.0, 1.0))
        for start, end in zip(take.starts, take.ends, strict=True)
    ]
    first, second = parts
    x, y = (
        take.path[0][axis]
        + first * (take.path[1][axis] - take.path[0][axis])
        + second * (take.path[2][axis] - take.path[1][axis])
        for axis in (0, 1)
    )
    # Geometric, so that growing looks as steady as shrinking.
    ratios = take.sizes[1] / take.sizes[0], take.sizes[2] / take.sizes[1]
    return x, y, take.sizes[0] * ratios[0] ** first * ratios[1] ** second


@lru_cache(maxsize=8)
def _background(seed: int) -> Image:
    """A dull, textured plane, uint8 [HEIGHT + 2 margin, WIDTH + 2 margin, 3], never the colour
    of an object: low saturation, mid to dark.
    """
    draws = Draws(("background", seed))
    noise = draws.generator("noise")
    height, width = HEIGHT_PX + 2 * MARGIN_PX, WIDTH_PX + 2 * MARGIN_PX
    plane = np.zeros((height, width), np.float32)
    for cells, amplitude in ((3, 24.0), (9, 16.0), (36, 9.0)):
        coarse = noise.random((cells * 4 // 3 + 1, cells + 1), dtype=np.float32) - 0.5
        plane += amplitude * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if draws.unit("stripes?") < 0.4:
        angle = draws.uniform("angle", 0, np.pi)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / draws.uniform("period", 3, 12))
        plane += draws.uniform("contrast", 4, 11) * wave
    base = draws.uniform("level", 50, 125)
    tint = np.array([draws.uniform(c, 0.86, 1.14) for c in "rgb"], np.float32)
    return np.clip((base + plane)[:, :, None] * tint, 12, 175).astype(np.uint8)


def _shake(take: Take, index: int) -> tuple[int, int]:
    """Whole-pixel camera displacement: two slow waves per axis."""
    draws = Draws(("shake", take.shake_seed))
    seconds = index / FPS
    moved = []
    for axis in "xy":
        waves = (
            np.sin(
                2 * np.pi * (draws.uniform(f"hz {axis}{k}", 0.3, 2.5) * seconds)
                + draws.uniform(f"phase {axis}{k}", 0, 2 * np.pi)
            )
            for k in range(2)
        )
        moved.append(round(float(take.shake_px * sum(waves) / 2)))
    return moved[0], moved[1]


def shot_at(take: Take, index: int) -> Shot:
    """The shot that frame `index` belongs to."""
    return [shot for shot in take.shots if shot.first_frame <= index][-1]


def render_frame(take: Take, index: int) -> Image:
    """Frame `index` of a take: RGB uint8 [HEIGHT_PX, WIDTH_PX, 3]."""
    shot = shot_at(take, index)
    dx, dy = _shake(take, index)
    top, left = MARGIN_PX - dy, MARGIN_PX - dx
    backdrop = _background(shot.background_seed)
    frame = backdrop[top : top + HEIGHT_PX, left : left + WIDTH_PX].copy()
    x, y, diameter = object_state(take, index)
    centre = np.array([0.5, 0.5 * HEIGHT_PX / WIDTH_PX])
    at = (np.array([x, y]) - centre + shot.offset) * shot.zoom + centre
    angle = np.deg2rad(take.tilt_degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = at * WIDTH_PX + polygon(take.scene.shape) @ turn * (diameter * shot.zoom * WIDTH_PX)
    points = np.round((corners + np.array([dx, dy])) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    rgb = np.multiply(COLOUR_RGB[take.scene.colour], take.tint)
    fill = tuple(int(min(255, value)) for value in rgb)
    cv2.fillPoly(frame, [points], fill, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
    outline = tuple(value // 4 for value in fill)
    cv2.polylines(
        frame, [points], True, outline, thickness=2, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS
    )
    if shot.brightness != 1.0:
        cv2.convertScaleAbs(frame, frame, alpha=shot.brightness)
    return frame


def render_clip(take: Take) -> Iterator[Image]:
    """All frames of a take, in order."""
    for index in range(take.num_frames):
        yield render_frame(take, index)
