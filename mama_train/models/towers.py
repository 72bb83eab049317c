"""Which parameters and modules of a dual encoder are of which side, and how far from the top.

Freezing, layer-wise learning rates and the virtual step of the upper blocks alone all ask that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from mama_augment.core.errors import InputError, did_you_mean

TowerKind = Literal["vision", "text"]
TOWERS: tuple[TowerKind, ...] = get_args(TowerKind)


@dataclass(frozen=True, kw_only=True)
class Tower:
    """One side of a model by the names of what is in it.

    parts: prefixes of all of it, its projection too. below: prefixes of what is below its blocks.
    blocks: prefix of the blocks, which `0.`, `1.`, … follows, the lowest first; empty where what is
    above `below` counts as one block.
    """

    parts: tuple[str, ...]
    below: tuple[str, ...] = ()
    blocks: str = ""
    num_blocks: int

    def below_prefix(self, prefix: str) -> Tower:
        """The same of a model that is a part of another one."""

        def put(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(prefix + name for name in names)

        blocks = self.blocks and prefix + self.blocks
        return replace(self, parts=put(self.parts), below=put(self.below), blocks=blocks)

    def holds(self, name: str) -> bool:
        """Whether a parameter or module is of this side."""
        return f"{name}.".startswith(self.parts)

    def depth(self, name: str) -> int:
        """How far a parameter is from the top: 0 above the blocks, 1 in the highest of them,
        `num_blocks` + 1 below them all."""
        if name.startswith(self.below):
            return self.num_blocks + 1
        if not self.blocks:
            return self.num_blocks
        if name.startswith(self.blocks):
            return self.num_blocks - int(name.removeprefix(self.blocks).split(".")[0])
        return 0


def parse_towers(text: str) -> tuple[TowerKind, ...]:
    """The towers of a list such as `vision,text`; none of an empty one.

    Raises:
        InputError: there is no such tower.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    for name in sorted(names):
        if name not in TOWERS:
            raise InputError(f"freeze is {text!r}, but {name!r}: {did_you_mean(name, TOWERS)}")
    return tuple(tower for tower in TOWERS if tower in names)
