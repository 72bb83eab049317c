"""Words of a text: Unicode-aware, case-folded; the stop list that assigners share."""

from __future__ import annotations

import re
import unicodedata

import regex

_ASCII_WORD = re.compile(r"[a-z0-9_]+(?:'[a-z]+)*")
# Combining marks belong to the word: without them Hindi or Thai words would be cut at each vowel.
_LETTER = r"[\p{L}\p{N}_\p{Mn}\p{Mc}]"
_UNICODE_WORD = regex.compile(rf"{_LETTER}+(?:'{_LETTER}+)*")

# Closed-class English words, and what captions say about the medium instead of the content.
_STOP_LIST = """
    a about above after again against all also am an and another any are aren't as at be because
    been before behind being below between both but by can can't cannot could couldn't did didn't do
    does doesn't doing don't during each few for from further had has have having he her here
    hers herself him himself his how i if in into is isn't it it's its itself just me more most my
    myself near no nor not now of off on once one only onto or other our ours ourselves out over own
    same she should so some such than that that's the their theirs them themselves then there these
    they this those through to too toward towards under until upon us very was we were what when
    where which while who whom whose why will with within without would you your yours yourself
    video videos clip clips image images picture pictures scene scenes footage frame frames shows
    showing shown show seen see depicts depicting"""
STOP_WORDS = frozenset(_STOP_LIST.split())


def words(text: str) -> list[str]:
    """Case-folded words in order; a word is letters, digits and the marks that belong to them."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = (
        unicodedata.normalize("NFKC", text)
        .casefold()
        .replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    )
    return _UNICODE_WORD.findall(folded)


def content_words(text: str) -> list[str]:
    """Words that carry content: no stop words, at least two characters."""
    return [word for word in words(text) if len(word) > 1 and word not in STOP_WORDS]
