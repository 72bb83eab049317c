"""How a scene is filmed: everything about a clip that its caption does not say.

Positions and sizes are in units of the frame's width; y grows downwards. A frame is WIDTH x HEIGHT
(portrait, 3:4), so that a grid of 3 x 4 cells of one square image leaves no bars.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.scene import Scene

WIDTH_PX = 192
HEIGHT_PX = 256
ASPECT = HEIGHT_PX / WIDTH_PX
FPS = 12

DIRECTIONS = {
    "moves left": (-1, 0),
    "moves right": (1, 0),
    "moves up": (0, -1),
    "moves down": (0, 1),
}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A stretch between two cuts: its own background, light and camera position."""

    first_frame: int
    background_seed: int
    brightness: float
    zoom: float
    offset: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Take:
    """One filming of a scene.

    `starts` and `ends` give the two motions' spans as shares of the clip; `path` the object's
    centre before, between and after them; `sizes` its diameter likewise.
    """

    scene: Scene
    num_frames: int
    starts: tuple[float, float]
    ends: tuple[float, float]
    path: tuple[tuple[float, float], ...]
    sizes: tuple[float, float, float]
    tilt_degrees: float
    tint: tuple[float, float, float]
    shots: tuple[Shot, ...]
    shake_px: float
    shake_seed: int


def draw_take(scene: Scene, draws: Draws) -> Take:
    """Film `scene`; the same scene and draws give the same take."""
    motions = (scene.first_motion, scene.second_motion)
    sizes = _sizes(motions, draws)
    num_frames = draws.integer("frames", 42, 54)
    return Take(
        scene=scene,
        num_frames=num_frames,
        starts=(draws.uniform("start 1", 0.02, 0.07), draws.uniform("start 2", 0.52, 0.57)),
        ends=(draws.uniform("end 1", 0.43, 0.48), draws.uniform("end 2", 0.93, 0.98)),
        path=_path(motions, max(sizes), draws),
        sizes=sizes,
        tilt_degrees=draws.uniform("tilt", -10, 10),
        tint=tuple(draws.uniform(f"tint {c}", 0.9, 1.04) for c in "rgb"),  # type: ignore[arg-type]
        shots=_shots(num_frames, draws),
        shake_px=draws.uniform("shake", 0.0, 2.5),
        shake_seed=draws.bits("shake seed"),
    )


def plain_take(scene: Scene, draws: Draws) -> Take:
    """A take in one shot, by a still camera that is held level."""
    take = draw_take(scene, draws)
    shot = dataclasses.replace(take.shots[0], first_frame=0, zoom=1.0, offset=(0.0, 0.0))
    return dataclasses.replace(take, shots=(shot,), shake_px=0.0, tilt_degrees=0.0)


def _sizes(motions: tuple[str, str], draws: Draws) -> tuple[float, float, float]:
    """Diameters before, between and after: all within 0.27..0.60 of the width."""
    factors = [{"grows": 1.8, "shrinks": 1 / 1.8}.get(motion, 1.0) for motion in motions]
    relative = (1.0, factors[0], factors[0] * factors[1])
    largest = 0.5 if max(relative) == min(relative) else 0.6
    smallest = 0.36 if max(relative) == min(relative) else 0.27
    low, high = smallest / min(relative), largest / max(relative)
    size = draws.uniform("size", low, high)
    return (size * relative[0], size * relative[1], size * relative[2])


def _path(
    motions: tuple[str, str], largest: float, draws: Draws
) -> tuple[tuple[float, float], ...]:
    """Centres before, between and after, placed so that the object stays in the frame."""
    axes = []
    for axis, extent in ((0, 1.0), (1, ASPECT)):
        # A moving object may be up to a tenth of its diameter outside at the path's ends.
        room = extent - 0.8 * largest
        at = [0.0]
        for i, motion in enumerate(motions):
            direction = DIRECTIONS.get(motion, (0, 0))[axis]
            at.append(at[-1] + direction * room * draws.uniform(f"way {i}", 0.72, 0.95))
        if max(at) - min(at) > room:
            at = [value * room / (max(at) - min(at)) for value in at]
        slack = room - (max(at) - min(at))
        shift = 0.4 * largest - min(at) + slack * draws.uniform(f"place {axis}", 0.0, 1.0)
        axes.append([value + shift for value in at])
    return tuple(zip(*axes, strict=True))


def _shots(num_frames: int, draws: Draws) -> tuple[Shot, ...]:
    """One to four shots; every shot lasts at least five frames."""
    cuts: list[int] = [0]
    for i in range(draws.integer("cuts", 0, 3)):
        cut = draws.integer(f"cut {i}", 5, num_frames - 5)
        if all(abs(cut - other) >= 5 for other in cuts):
            cuts.append(cut)
    return tuple(
        Shot(
            first_frame=cut,
            background_seed=draws.bits(f"background {i}"),
            brightness=draws.uniform(f"brightness {i}", 0.85, 1.1),
            zoom=draws.uniform(f"zoom {i}", 0.96, 1.04),
            offset=(
                draws.uniform(f"offset x {i}", -0.03, 0.03),
                draws.uniform(f"offset y {i}", -0.03, 0.03),
            ),
        )
        for i, cut in enumerate(sorted(cuts))
    )
