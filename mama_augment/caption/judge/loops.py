"""Degenerate decoding: the same words or letters over and over."""

from __future__ import annotations

import re

from mama_augment.caption.judge.said import Asked, Found, sentences_of, words_of

_SAME_LETTERS = re.compile(r"(\S{1,8}?)\1{9,}")


def find_loop(text: str, asked: Asked) -> Found:
    """`looping`; a sentence that is said twice in a row is said once, and flagged."""
    if is_looping(words_of(text)) or any(
        match[1].strip("-_.=*~") for match in _SAME_LETTERS.finditer(text)
    ):
        return Found(text, "looping")
    kept: list[str] = []
    for sentence in sentences_of(text):
        if not kept or words_of(sentence) != words_of(kept[-1]):
            kept.append(sentence)
    once = "".join(kept).strip()
    return Found(once, None, ("repeat_dropped",) if once != text else ())


def is_looping(words: list[str]) -> bool:
    """Whether a phrase is repeated back to back, or few phrases make up a long text.

    A phrase of n words counts as a loop when it stands 6 times in a row for n = 1, 4 times for
    n = 2 and 3 times for 3 to 12 words ("very, very far" is none); and so does a text of 24 words
    or more in which fewer than half of the three-word phrases are new.
    """
    for size in range(1, 13):
        needed = {1: 6, 2: 4}.get(size, 3)
        matches = 0  # words in a row that equal the word `size` places before
        for index in range(size, len(words)):
            matches = matches + 1 if words[index] == words[index - size] else 0
            if matches >= size * (needed - 1):
                return True
    phrases = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return len(words) >= 24 and len(set(phrases)) < 0.5 * len(phrases)
