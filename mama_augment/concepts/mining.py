"""Phrases mined from the texts themselves: frequent ones without stop words at their ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mama_augment.concepts.base import TextBatches
from mama_augment.concepts.counting import FrequentCounter
from mama_augment.concepts.words import STOP_WORDS, words

NUM_PHRASES = 1_000
MAX_PHRASE_WORDS = 3
MIN_TEXTS = 2
_PUNCTUATION = re.compile(r"[.,;:!?()\[\]\"\n]+")


def mine_phrases(batches: TextBatches, num_phrases: int | None = None) -> list[str]:
    """The most frequent 1- to 3-word phrases of the texts, each counted once per text.

    Phrases neither begin nor end with a stop word or a number, and do not cross punctuation.
    With enough texts, one that occurs in a single text is no concept.
    """
    counter = FrequentCounter()
    num_texts = 0
    for batch in batches():
        num_texts += len(batch.texts)
        for text in batch.texts:
            counter.update(set(phrases(text)))
    min_texts = MIN_TEXTS if num_texts > 100 else 1
    return [phrase for phrase, _ in counter.most_common(num_phrases or NUM_PHRASES, min_texts)]


def phrases(text: str) -> Iterator[str]:
    """Candidate phrases of a text, case-folded, in order; repeats included."""
    for part in _PUNCTUATION.split(text):
        tokens = words(part)
        usable = [len(t) > 1 and t not in STOP_WORDS and not t.isdigit() for t in tokens]
        for start in range(len(tokens)):
            if not usable[start]:
                continue
            for end in range(start, min(len(tokens), start + MAX_PHRASE_WORDS)):
                if usable[end]:
                    yield " ".join(tokens[start : end + 1])
