"""What is asked about a scene, and what is answered: rightly or, at the noise rate, of another one.

Open questions have one answer of a few; those with options have five or six, all of which could be
of the clip by the words of question and options alone. Whatever is asked, every answer is as likely
as any other where scenes are even, so that questions give nothing away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.scene import MOTIONS, Scene

NUMBERS = ("zero", "one", "two", "three")
NUM_OPTIONS = 5
OPEN_TYPES = (
    "descriptive:colour",
    "descriptive:shape",
    "descriptive:count",
    "temporal:first",
    "temporal:last",
)
CHOICE_TYPES = ("descriptive:what", "temporal:order", "causal:why")
DOING = {
    "moves left": "moving left",
    "moves right": "moving right",
    "moves up": "moving up",
    "moves down": "moving down",
    "grows": "growing",
    "shrinks": "shrinking",
}
TO_DO = {"moves": "move", "grows": "grow", "shrinks": "shrink"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A scene with still dots, which are counted."""

    scene: Scene
    num_dots: int


def questions_of(
    asked: Asked, other: Callable[[str], Asked], draws: Draws, concepts: Sequence[str]
) -> list[dict[str, Any]]:
    """All questions about a clip, in the layout of `core.schema.QUESTION`.

    concepts: those of the world, which options are of.
    other: gives, by a name, the scene whose answer a question has; the clip's own where it is
        right. A wrong answer always differs from the right one.
    """
    found = []
    for kind in (*OPEN_TYPES, *CHOICE_TYPES):
        told = other(kind)
        if kind in OPEN_TYPES:
            text, right = _open(kind, asked)
            answer = _open(kind, told)[1]
            options = index = None
        else:
            text, right, wrong = _choice(kind, asked, draws, concepts)
            options = draws.shuffled(f"options of {kind}", [right, *wrong])
            answer = right
            if told is not asked:
                answer = draws.choice(f"wrong option of {kind}", sorted(wrong))
            index = options.index(answer)
        found.append(
            {
                "question_id": kind,
                "question": text,
                "options": options,
                "answer": answer,
                "answer_index": index,
                "type": kind,
                "question_group": None,
                "is_aligned": answer == right,
            }
        )
    return found


def answers_alike(kind: str, a: Asked, b: Asked) -> bool:
    """Whether an open question has one answer in both scenes; one with options never."""
    return kind in OPEN_TYPES and _open(kind, a)[1] == _open(kind, b)[1]


def _open(kind: str, asked: Asked) -> tuple[str, str]:
    scene = asked.scene
    return {
        "descriptive:colour": ("what colour is the shape?", scene.colour),
        "descriptive:shape": ("what shape is it?", scene.shape),
        "descriptive:count": ("how many dots are there?", NUMBERS[asked.num_dots]),
        "temporal:first": ("what does it do first?", scene.first_motion),
        "temporal:last": ("what does it do last?", scene.second_motion),
    }[kind]


def _choice(
    kind: str, asked: Asked, draws: Draws, concepts: Sequence[str]
) -> tuple[str, str, list[str]]:
    """(question, right option, wrong options)."""
    scene = asked.scene
    first, second = scene.first_motion, scene.second_motion
    if kind == "descriptive:what":
        others = [concept for concept in concepts if concept != scene.concept]
        wrong = draws.shuffled("what", others)[: NUM_OPTIONS - 1]
        return "what is it?", f"a {scene.concept}", [f"a {concept}" for concept in wrong]
    if kind == "causal:why":
        others = [m for m in MOTIONS if m not in (first, second)]
        wrong = [_because(m) for m in draws.shuffled("why", others)[: NUM_OPTIONS - 1]]
        return f"why does it stop {DOING[first]}?", _because(second), wrong
    other = draws.choice("order", [m for m in MOTIONS if m not in (first, second)])
    # Both orders of each two of three motions: none of the six stands out.
    orders = [_order(*two) for two in permutations((first, second, other), 2)]
    right = _order(first, second)
    return "what happens?", right, [order for order in orders if order != right]


def _order(first: str, second: str) -> str:
    return f"it {first}, then it {second}"


def _because(motion: str) -> str:
    does, *where = motion.split()
    return " ".join(["because it starts to", TO_DO[does], *where])
