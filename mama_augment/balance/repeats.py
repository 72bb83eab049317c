"""Near-identical texts across clips: counted, flagged, dropped on request.

Two texts are near-identical when their words are the same in the same order, but for case,
punctuation, articles and forms of "to be". A captioner that says one sentence about
everything shows here. Memory is 8 bytes per text, and one entry per text said too often.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mama_augment.balance.corpus import ClipTexts
from mama_augment.concepts.language.words import words

NUM_EXAMPLES = 5
FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "and",
        "of",
        "there",
        "this",
        "that",
        "it",
    ]
)
FLAG_SHARE = 0.02
FLAG_TEXTS = 20


def text_key(text: str) -> int:
    """64 bits that near-identical texts share."""
    spoken = words(text)
    telling = [word for word in spoken if word not in FILLERS]
    digest = hashlib.blake2b(" ".join(telling or spoken).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


@dataclass(kw_only=True)
class Repeats:
    """Counts near-identical training texts in one pass, and thins them in later ones.

    `limit`: of texts that are near-identical, this many stay, the first in the shuffle's order.
    """

    limit: int | None = None
    num_texts: int = 0
    num_distinct: int = 0
    num_repeated: int = 0
    """Texts that are not the only one of their kind."""
    most: list[tuple[int, int]] = field(default_factory=list)
    """(key, texts) of those said most often."""
    _keys: array[int] = field(default_factory=lambda: array("Q"))
    _left: dict[int, int] = field(default_factory=dict)
    _examples: dict[int, str] = field(default_factory=dict)

    def count(self, clip: ClipTexts) -> None:
        """First pass: remember the keys of the texts that are still in."""
        self._keys.extend(text_key(text.text) for text in clip.kept() if not text.is_question)

    def finish_counting(self) -> None:
        """Between the passes: which texts are said how often."""
        keys, counts = np.unique(np.frombuffer(self._keys, np.uint64), return_counts=True)
        self._keys = array("Q")
        self.num_texts = int(counts.sum())
        self.num_distinct = len(keys)
        self.num_repeated = int(counts[counts > 1].sum())
        top = np.lexsort((keys, -counts))[:NUM_EXAMPLES]
        self.most = [(int(keys[i]), int(counts[i])) for i in top if counts[i] > 1]
        if self.limit is not None:
            frequent = keys[counts > self.limit]
            self._left = dict.fromkeys(map(int, frequent), self.limit)

    def restart(self) -> None:
        """Before each pass that thins."""
        self._left = dict.fromkeys(self._left, self.limit or 0)

    def thin(self, clip: ClipTexts) -> None:
        """In the same order again: texts beyond the limit get `near_identical`."""
        wanted = {key for key, _ in self.most} - self._examples.keys()
        if not self._left and not wanted:
            return
        for text in clip.kept():
            if text.is_question:  # the same question is asked of many
                continue
            key = text_key(text.text)
            if key in wanted:
                self._examples.setdefault(key, text.text)
            if key in self._left:
                self._left[key] -= 1
                if self._left[key] < 0:
                    text.reason = "near_identical"

    def to_json(self) -> dict[str, Any]:
        """For stats.json."""
        return {
            "num_texts": self.num_texts,
            "num_distinct": self.num_distinct,
            "num_repeated": self.num_repeated,
            "limit": self.limit,
            "most_frequent": [
                {"text": self._examples.get(key, ""), "num_texts": count}
                for key, count in self.most
            ],
        }

    def warnings(self) -> list[str]:
        """Texts that stand with suspiciously many clips."""
        return [
            f"{count:,} of {self.num_texts:,} training texts are (nearly) the same: "
            f"{self._examples.get(key, '')!r}. --max-same-text N keeps N of them"
            for key, count in self.most
            if count >= max(FLAG_TEXTS, FLAG_SHARE * self.num_texts) and self.limit is None
        ]
