"""A vocabulary mined from the texts themselves: frequent phrases without stop words at the ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mama_augment.concepts.base import TextBatches
from mama_augment.concepts.counting import FrequentCounter
from mama_augment.concepts.vocabulary import Entry, Vocabulary
from mama_augment.concepts.words import STOP_WORDS, words
from mama_augment.core.errors import InputError

NUM_PHRASES = 1_000
MAX_PHRASE_WORDS = 3
MIN_TEXTS = 2
_PUNCTUATION = re.compile(r"[.,;:!?()\[\]\"\n]+")


def mine_vocabulary(batches: TextBatches, num_phrases: int | None = None) -> Vocabulary:
    """The most frequent 1- to 3-word phrases of the texts, each counted once per text.

    Phrases neither begin nor end with a stop word or a number, and do not cross punctuation.
    With enough texts, one that occurs in a single text is no concept.

    Raises:
        InputError: no text holds a usable word.
    """
    counter = FrequentCounter()
    num_texts = 0
    for batch in batches():
        num_texts += len(batch.texts)
        for text in batch.texts:
            counter.update(set(phrases(text)))
    min_texts = MIN_TEXTS if num_texts > 100 else 1
    frequent = counter.most_common(num_phrases or NUM_PHRASES, min_texts)
    if not frequent:
        raise InputError(
            "no phrase could be mined: the texts hold nothing but stop words. Give phrases with "
            "--vocabulary FILE"
        )
    return Vocabulary(tuple(Entry(phrase, (phrase,)) for phrase, _ in frequent))


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
