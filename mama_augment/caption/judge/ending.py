"""How a caption ends, and how long it is."""

from __future__ import annotations

from mama_augment.caption.judge.config import REJECT
from mama_augment.caption.judge.said import Asked, Found, sentences_of, words_of

_MARKS = ".!?。！？"
_CLOSING = "\"'”’)] "


def keep_sentences(text: str, asked: Asked) -> Found:
    """Of a caption that `max_tokens` cut off, its complete sentences, flagged; else `truncated`."""
    if asked.finish_reason != "length":
        return Found(text)
    if asked.config.on_truncated == REJECT:
        return Found(text, "truncated")
    sentences = sentences_of(text)
    if sentences and sentences[-1].rstrip(_CLOSING)[-1:] not in tuple(_MARKS):
        sentences.pop()
    kept = "".join(sentences).strip()
    return Found(kept, None, ("truncated",)) if kept else Found(text, "truncated")


def find_length(text: str, asked: Asked) -> Found:
    """`too_short`, `too_long`: by words; of scripts that have no spaces, by characters."""
    number = max(len(words_of(text)), sum(c > "\u2e7f" and c.isalpha() for c in text))
    if number < asked.config.min_words:
        return Found(text, "too_short")
    most = asked.config.max_words
    return Found(text, "too_long" if most is not None and number > most else None)
