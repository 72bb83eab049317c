"""What a plain world holds; imports nothing heavy, so that `--help` can show the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mama_augment.core.errors import InputError
from mama_augment.shapes.shards.config import ShardsWorldConfig

FEWEST, MOST = 6, 12


@dataclass(frozen=True, kw_only=True)
class PlainConfig(ShardsWorldConfig):
    """What a plain world holds."""

    usual_num_train: ClassVar[int] = 2000

    num_concepts: int = 6
    """Coloured shapes, 6 to 12, each in 30 motions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not FEWEST <= self.num_concepts <= MOST:
            raise InputError(f"num_concepts is {self.num_concepts}: allowed: {FEWEST} to {MOST}")
