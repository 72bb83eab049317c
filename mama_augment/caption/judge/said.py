"""What a rule is handed, and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from mama_augment.caption.judge.config import JudgeConfig

WORD = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a caption is judged against.

    prompt: the rendered text of the request. input: grid, images or video. finish_reason: `stop`
    or `length`.
    """

    prompt: str = ""
    input: str = "grid"
    finish_reason: str = "stop"
    config: JudgeConfig = field(default_factory=JudgeConfig)


@dataclass(frozen=True)
class Found:
    """The text after a rule, why it is rejected (None: it is not), and what is to be known."""

    text: str
    reason: str | None = None
    flags: tuple[str, ...] = ()


Rule = Callable[[str, Asked], Found]
"""Pure, and linear in the length of the text."""


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return WORD.findall(text.lower())


def one_line(text: str) -> str:
    """Runs of white space as one space, none at the ends nor before a comma or full stop."""
    return re.sub(r" +([,.;:!?](?=\s|$))", r"\1", " ".join(text.split()))


def sentences_of(text: str) -> list[str]:
    """The sentences of one line, each with its own mark; the last may have none."""
    ends = [
        match.end()
        for match in _END.finditer(text)
        if not _NO_END.search(text, max(0, match.start() - 6), match.start() + 1)
    ]
    starts = [0, *ends]
    return [part for a, b in zip(starts, [*ends, len(text)], strict=True) if (part := text[a:b])]


_END = re.compile(r"[.!?。！？][\"'”’)\]]*(?:\s+|$|(?<=[。！？]))")
_NO_END = re.compile(r"\b(?:[DM]rs?|Ms|Prof|St|vs|etc|e\.g|i\.e|No|\d)\.$")
