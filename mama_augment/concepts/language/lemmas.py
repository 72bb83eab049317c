"""A language as concepts need it: words to lemmas, lemmas to kinds; learned once, then a table.

English lemmas come from lemminflect, chosen by the part of speech that a form has most often in the
texts themselves (`tagging`); those of some 50 other languages from simplemma, with the stop words
of stopwordsiso. There, things and doings are not told apart: all lemmas count as objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mama_augment.concepts.language.kinds import (
    ATTRIBUTES,
    DETERMINERS,
    GENERAL_NOUNS,
    GENERAL_VERBS,
    PEOPLE,
)
from mama_augment.concepts.language.words import STOP_WORDS, words
from mama_augment.core.errors import InputError

ENGLISH = "en"
BARRIER = "·"
"""Stands for words that no phrase is read across."""
MAX_CACHED = 200_000
PLURALS = frozenset("glasses sunglasses goggles clothes jeans shorts pants scissors".split())  # noqa: SIM905
"""Things whose name is a plural."""


@dataclass(frozen=True)
class Language:
    """Lemmas and kinds; what was learned of the texts decides first, a lexicon the rest."""

    code: str = ENGLISH
    lemmas: Mapping[str, str] = field(default_factory=dict)
    """Of forms that the texts decide."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Of lemmas that the texts decide; an empty kind is no concept."""
    _lemma_of: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _kind_of: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.code != ENGLISH:
            _check_language(self.code)

    def lemma(self, word: str) -> str:
        """The lemma of a case-folded word; empty for a word that is read across, `BARRIER` for one
        that tells nothing."""
        found = self._lemma_of.get(word)
        if found is None:
            found = self.lemmas.get(word) or self._look_up(word)
            if len(self._lemma_of) < MAX_CACHED:
                self._lemma_of[word] = found
        return found

    def stream(self, text: str) -> list[str]:
        """Lemmas of a text in order, barriers between what does not belong together."""
        lemma = self.lemma
        return [found for word in words(text) if (found := lemma(word))]

    def content(self, text: str) -> list[str]:
        """Lemmas of a text that may be concepts of some kind."""
        return [lemma for lemma in self.stream(text) if lemma != BARRIER]

    def kind(self, lemma: str) -> str:
        """The kind of a lemma or a phrase of lemmas; empty where it is none."""
        found = self._kind_of.get(lemma)
        if found is None:
            last = lemma.rpartition(" ")[2]
            found = self._kind(lemma) if lemma == last else self.kind(last) or "objects"
            if len(self._kind_of) < MAX_CACHED:
                self._kind_of[lemma] = found
        return found

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "lemmas": dict(self.lemmas), "kinds": dict(self.kinds)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Language:
        return cls(content["code"], content["lemmas"], content["kinds"])

    def _look_up(self, word: str) -> str:
        if self.code == ENGLISH and word in DETERMINERS:
            return ""
        if len(word) < 2 or word.isdigit() or word in self._stop_words:
            return BARRIER
        if self.code != ENGLISH:
            import simplemma

            return str(simplemma.lemmatize(word, lang=self.code)).casefold()
        return english_lemma(word.removesuffix("'s"), None)

    def _kind(self, lemma: str) -> str:
        if self.code != ENGLISH:
            return "objects"
        listed = listed_kind(lemma)
        if listed is not None:
            return listed
        return self.kinds[lemma] if lemma in self.kinds else _lexicon_kind(lemma)

    @cached_property
    def _stop_words(self) -> frozenset[str]:
        if self.code == ENGLISH:
            return STOP_WORDS
        import stopwordsiso

        return frozenset(stopwordsiso.stopwords(self.code))


def listed_kind(lemma: str) -> str | None:
    """What the closed lists say of an English lemma; empty: it tells nothing; None: not listed."""
    if lemma in PEOPLE:
        return "people"
    if lemma in ATTRIBUTES:
        return "attributes"
    if lemma in GENERAL_NOUNS or lemma in GENERAL_VERBS or lemma in STOP_WORDS:
        return ""
    return None


def english_lemma(word: str, tag: str | None) -> str:
    """The lemma of an English form. tag: N, V or A, or None: the likeliest reading by its ending.

    "running" is a verb and "runs" is too where a lexicon knows both readings of a form in -ing or
    -ed; other forms are nouns first.
    """
    import lemminflect

    if word in PLURALS:
        return word
    readings = lemminflect.getAllLemmas(word)
    known: dict[str, tuple[str, ...]] = {
        "N": ("NOUN", "VERB"),
        "V": ("VERB", "NOUN"),
        "A": ("ADJ", "NOUN"),
    }
    order = known.get(tag or "")
    if order is None:
        verb_first = word.endswith(("ing", "ed"))
        order = ("VERB", "NOUN", "ADJ") if verb_first else ("NOUN", "VERB", "ADJ")
    for part in order:
        if readings.get(part):
            return str(readings[part][0])
    if not readings and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]  # a name that the lexicon lacks: selfies, gifs
    return word


def _lexicon_kind(lemma: str) -> str:
    import lemminflect

    readings = lemminflect.getAllLemmas(lemma)
    if not readings or "NOUN" in readings:
        return "objects"
    return "actions" if "VERB" in readings else "attributes"


def _check_language(code: str) -> None:
    import simplemma
    import stopwordsiso

    try:
        simplemma.lemmatize("a", lang=code)
        has_lemmas = True
    except ValueError:
        has_lemmas = False
    if not has_lemmas or not stopwordsiso.has_lang(code):
        raise InputError(
            f"--language {code}: there are no lemmas or stop words for it; give a code of two "
            "letters that simplemma and stopwordsiso know, such as en, de, es, fr, it, pt or ru"
        )
