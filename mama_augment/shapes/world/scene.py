"""What happens in a clip of the shapes world: one object and two motions, in order.

A scene is the truth of a clip; everything else about the clip (where, when, before what
background) is incidental and drawn in take.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations, product

from mama_augment.core.draws import Draws
from mama_augment.core.errors import InputError

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SHAPES = ("circle", "square", "triangle", "star", "cross")
MOTIONS = ("moves left", "moves right", "moves up", "moves down", "grows", "shrinks")
CONCEPTS = tuple(f"{colour} {shape}" for colour, shape in product(COLOURS, SHAPES))
FEW_CONCEPTS = (
    *(f"{colour} {shape}" for colour in ("red", "green", "blue") for shape in ("circle", "square")),
    *(f"{colour} triangle" for colour in ("red", "green", "blue")),
    *(f"yellow {shape}" for shape in ("circle", "square", "triangle")),
)
"""Those of worlds of few scenes, which take the first of them."""
MOTION_PAIRS = tuple(permutations(MOTIONS, 2))
"""The two motions of a scene always differ, so that their order can be told."""

ATTRIBUTES = ("colour", "shape", "first_motion", "second_motion")
HELD_OUT_SHARE = 0.1

_CAPTION = re.compile(
    rf"an? ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})"
    rf" ({'|'.join(MOTIONS)}), then ({'|'.join(MOTIONS)})"
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One of 8 colours x 5 shapes x 30 ordered pairs of different motions."""

    colour: str
    shape: str
    first_motion: str
    second_motion: str

    def __post_init__(self) -> None:
        for name, allowed in (
            ("colour", COLOURS),
            ("shape", SHAPES),
            ("first_motion", MOTIONS),
            ("second_motion", MOTIONS),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        if self.first_motion == self.second_motion:
            raise InputError(f"both motions are {self.first_motion!r}: a scene needs two different")

    @property
    def concept(self) -> str:
        """What the clip is about, e.g. "red circle"."""
        return f"{self.colour} {self.shape}"

    @property
    def caption(self) -> str:
        """The canonical caption, e.g. "a red circle moves left, then grows"."""
        article = "an" if self.colour[0] in "aeiou" else "a"
        return f"{article} {self.concept} {self.first_motion}, then {self.second_motion}"


def all_scenes() -> list[Scene]:
    """The whole space, concept by concept: 1,200 scenes."""
    return [
        Scene(colour=colour, shape=shape, first_motion=first, second_motion=second)
        for colour, shape, (first, second) in product(COLOURS, SHAPES, MOTION_PAIRS)
    ]


def parse_caption(text: str) -> Scene | None:
    """The scene of a canonical caption; None when the text is no such caption."""
    match = _CAPTION.fullmatch(text.strip().rstrip(".").lower())
    if match is None or match[3] == match[4]:
        return None
    return Scene(**dict(zip(ATTRIBUTES, match.groups(), strict=True)))


def is_held_out(scene: Scene) -> bool:
    """Whether the bundled captioner never saw this combination in training (about 10 %).

    The same scenes in every world: which they are must not depend on a world's seed.
    """
    return Draws(("held out", scene.caption)).unit("share") < HELD_OUT_SHARE
