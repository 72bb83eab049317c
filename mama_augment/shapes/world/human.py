"""How people in the shapes world describe a scene: the same facts in other words.

The concept ("red circle") is never paraphrased, so that a vocabulary finds it in every wording.
"""

from __future__ import annotations

from mama_augment.core.draws import Draws
from mama_augment.shapes.world.scene import Scene

WORDINGS = {
    "moves left": ("moves left", "slides to the left"),
    "moves right": ("moves right", "slides to the right"),
    "moves up": ("moves up", "rises"),
    "moves down": ("moves down", "sinks"),
    "grows": ("grows", "gets bigger"),
    "shrinks": ("shrinks", "gets smaller"),
}
TEMPLATES = (
    "{a} {concept} {first}, then {second}",
    "{a} {concept} {first} and then {second}",
    "{a} {concept} {first}, after that it {second}",
    "first {a} {concept} {first}, later it {second}",
)


def plain_caption(scene: Scene) -> str:
    """One wording for all, unlike the bundled captioner's by a word: what worlds of few scenes say,
    where a short training shall not have to learn synonyms, too."""
    return scene.caption.replace(", then ", " and then ")


def human_caption(scene: Scene, draws: Draws) -> str:
    """One of 16 wordings of the scene; the same draws give the same one."""
    return draws.choice("template", TEMPLATES).format(
        a="an" if scene.concept[0] in "aeiou" else "a",
        concept=scene.concept,
        first=draws.choice("first", WORDINGS[scene.first_motion]),
        second=draws.choice("second", WORDINGS[scene.second_motion]),
    )
