"""What is reviewed; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mama_augment.core.errors import InputError
from mama_augment.core.schema import HELD_OUT

DEFAULT_TEXTS = 100
DEFAULT_SHARES = {"meta": 0.6, "val": 0.2, "test": 0.2}
MAX_SHARE_OF_CLIPS = 0.2
"""Of a default sample: what is reviewed for meta, val and test does not train."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """The texts that a person is asked about."""

    meta: int | None = None
    """Texts to review for the meta split. By default 100 for all three splits (60, 20, 20), and at
    most a fifth of the clips."""
    val: int | None = None
    """The same for the val split."""
    test: int | None = None
    """The same for the test split."""
    seed: int = 0
    """Decides which clips of a concept come first."""

    def __post_init__(self) -> None:
        for split in HELD_OUT:
            size = getattr(self, split)
            if size is not None and size < 0:
                raise InputError(
                    f"--{split} is {size}; a number of texts, or 0 for none, is needed"
                )
        if self.is_chosen and not any(getattr(self, split) for split in HELD_OUT):
            raise InputError("--meta, --val and --test ask for no text at all; give one of them")

    @property
    def is_chosen(self) -> bool:
        """Whether a size is given; then those that are not are 0."""
        return any(getattr(self, split) is not None for split in HELD_OUT)

    def sizes(self, num_clips: int) -> Mapping[str, int]:
        """Texts of each split."""
        if self.is_chosen:
            return {split: getattr(self, split) or 0 for split in DEFAULT_SHARES}
        total = max(1, min(DEFAULT_TEXTS, int(num_clips * MAX_SHARE_OF_CLIPS)))
        found = {split: int(total * share) for split, share in DEFAULT_SHARES.items()}
        found["meta"] += total - sum(found.values())
        return found
