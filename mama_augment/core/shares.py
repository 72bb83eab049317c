"""The units that one machine of several takes: `--share 2/8`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mama_augment.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Share:
    """Every `num`-th unit, from the `index`-th on (1 to `num`)."""

    index: int
    num: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read `i/n`.

        Raises:
            InputError: it is something else, or i is not one of 1 to n.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        share = cls(index=int(match[1]), num=int(match[2])) if match else None
        if share is None or not 1 <= share.index <= share.num:
            raise InputError(
                f"--share is {text!r}; allowed: I/N with I from 1 to N, such as 2/8 for the second "
                "of eight machines"
            )
        return share

    def __str__(self) -> str:
        return f"{self.index}/{self.num}"

    def of(self, unit_ids: Iterable[str]) -> list[str]:
        """Its units of all units of a step, in their order."""
        return list(unit_ids)[self.index - 1 :: self.num]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What of a directory a run takes: all of it, or a share."""

    todo: Sequence[str]
    num_total: int
    num_before: int
    """Items that are done already."""

    @classmethod
    def of(cls, units: Mapping[str, int], todo: Sequence[str], share: Share | None) -> Part:
        num_total = sum(units[u] for u in (units if share is None else share.of(units)))
        num_before = num_total - sum(units[unit_id] for unit_id in todo)
        return cls(todo=todo, num_total=num_total, num_before=num_before)
