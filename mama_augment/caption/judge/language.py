"""Which language a text is in: by its script, then by py3langid (97 languages, 50 µs a caption)."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

from mama_augment.caption.judge.config import ANY, AUTO
from mama_augment.caption.judge.said import Asked, Found, words_of
from mama_augment.core.errors import InputError

SURE = 0.8
"""Probability from which the detector is believed."""
LEAST_WORDS = 4
"""Fewer are too few for the detector; their script still tells."""
MOST_FOREIGN = 0.3
"""Share of letters that are not Latin, from which a text is not in a language written so."""
OTHER_SCRIPTS = frozenset(
    "am ar as be bg bn dz el fa gu he hi hy ja ka kk km kn ko ky lo mk ml mn mr ne or pa ps ru si "  # noqa: SIM905
    "sr ta te th ug uk ur zh".split()
)
MOST_CHARACTERS = 2000
"""Of a text, which are enough to tell."""


@functools.cache
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def detect(text: str) -> tuple[str, float]:
    """The likeliest language's code, and its probability."""
    code, probability = _detector().classify(text[:MOST_CHARACTERS])
    return str(code), float(probability)


def settle_language(asked: str, prompt: str) -> str:
    """The language that captions are to be in: as asked, else the prompt's own where it is clear.

    Raises:
        InputError: no such language.
    """
    if asked == AUTO:
        code, probability = detect(prompt)
        return code if probability >= SURE and len(words_of(prompt)) >= LEAST_WORDS else ANY
    known = sorted(str(label) for label in _detector().labels)
    if asked != ANY and asked not in known:
        raise InputError(f"--language is {asked!r}; allowed: {AUTO}, {ANY}, {', '.join(known)}")
    return asked


def find_language(text: str, asked: Asked) -> Found:
    """`wrong_language`, where script or detector is sure."""
    wanted = asked.config.language
    if wanted in (AUTO, ANY):
        return Found(text)
    if wanted not in OTHER_SCRIPTS and _foreign_share(text) >= MOST_FOREIGN:
        return Found(text, "wrong_language")
    if len(words_of(text)) < LEAST_WORDS and wanted not in OTHER_SCRIPTS:
        return Found(text)
    code, probability = detect(text)
    return Found(text, "wrong_language" if code != wanted and probability >= SURE else None)


def _foreign_share(text: str) -> float:
    letters = [c for c in text[:MOST_CHARACTERS] if c.isalpha()]
    foreign = sum(not c.isascii() and not _is_latin(c) for c in letters)
    return foreign / max(1, len(letters))


@functools.lru_cache(maxsize=4096)
def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("LATIN", "MODIFIER", "FULLWIDTH LATIN"))
