"""What a caption must be like to be accepted; changes no caption, only what becomes of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option

AUTO, ANY = "auto", "any"
KEEP_SENTENCES, REJECT = "keep-sentences", "reject"


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How what a model said becomes a caption, or is rejected."""

    min_words: int = 3
    """Shorter captions are rejected as too_short."""
    max_words: int | None = field(default=None, metadata=option(default_shown="no limit"))
    """Longer captions are rejected as too_long."""
    language: str = AUTO
    """The language that captions must be in, as a code such as en, or any; auto is the prompt's
    own, where that is clear."""
    on_truncated: str = KEEP_SENTENCES
    """What becomes of a caption that --max-tokens cut off: keep-sentences keeps those that are
    complete, and flags it; reject keeps nothing."""

    def __post_init__(self) -> None:
        if self.min_words < 1:
            raise InputError(f"--min-words is {self.min_words}; at least 1 is needed")
        if self.max_words is not None and self.max_words < self.min_words:
            raise InputError(
                f"--max-words is {self.max_words}, below --min-words {self.min_words}; raise it"
            )
        check_choice("--on-truncated", self.on_truncated, (KEEP_SENTENCES, REJECT))

    def fields(self) -> dict[str, Any]:
        """What decides a verdict, by name."""
        return asdict(self)
