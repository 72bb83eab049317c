"""What is to be said of an input beside its clips: what was left out, and what was mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Notes:
    """Collected while an input is read."""

    left_out: Counter[str] = field(default_factory=Counter)
    """Files and folders that were found and not taken, by kind."""
    remarks: list[str] = field(default_factory=list)
    """One sentence each."""
    num_mended: int = 0
    """Rows in which half an emoji or a damaged byte is no character: it became U+FFFD."""

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def listed(counts: Mapping[str, int]) -> str:
    """`12 .txt, 3 hidden`, the most frequent first."""
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {kind}" for kind, number in order)
