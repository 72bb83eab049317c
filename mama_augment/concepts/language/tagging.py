"""Parts of speech by majority: a sample of the texts is tagged, and each form gets one reading.

TextBlob's tagger (a lexicon with rules of context; it ships with the package) reads a sentence at
15,000 captions a second. It takes most gerunds for nouns; after a form of "to be" they are verbs.
A form's reading in all texts is that of most of its occurrences, so that assigning concepts later
needs a table and no tagger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from mama_augment.concepts.language.curated import scene_lemmas
from mama_augment.concepts.language.lemmas import (
    BARRIER,
    ENGLISH,
    Language,
    english_lemma,
    listed_kind,
)
from mama_augment.concepts.language.texts import TextBatches
from mama_augment.concepts.language.words import STOP_WORDS, words

SAMPLE = 20_000
"""Texts that are tagged: the first in the shuffled order."""
BE = frozenset("is are was were be been being 's 're am".split())  # noqa: SIM905


def learn_language(batches: TextBatches, code: str = ENGLISH) -> Language:
    """Tag a sample of the texts, and decide each form's lemma and each lemma's kind."""
    if code != ENGLISH:
        return Language(code)
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for text in _first(batches, SAMPLE):
        for word, tag in tag_words(words(text)):
            votes[word][tag] += 1
    lemmas: dict[str, str] = {}
    of_lemma: dict[str, Counter[str]] = defaultdict(Counter)
    for word, tags in sorted(votes.items()):
        if word in STOP_WORDS or len(word) < 2 or word.isdigit():
            continue
        tag = min(tags, key=lambda t, tags=tags: (-tags[t], t))  # type: ignore[misc]
        if tag == "O":
            lemmas[word] = BARRIER
            continue
        bare = word.removesuffix("'s")
        lemmas[word] = english_lemma(bare, tag)
        of_lemma[lemmas[word]].update(tags)
    scenes = scene_lemmas()
    kinds = {lemma: _kind(lemma, tags, lemma in scenes) for lemma, tags in of_lemma.items()}
    return Language(code, lemmas, kinds)


def tag_words(spoken: list[str]) -> Iterator[tuple[str, str]]:
    """(word, tag) of a text's words; tags are N, V, A (adjective) and O (all others)."""
    from textblob.en import tag as brill

    if not spoken:
        return
    tagged = brill(" ".join(spoken), tokenize=False)
    before = ""
    for word, fine in tagged:
        tag = _coarse(fine)
        if tag == "N" and word.endswith("ing") and before in BE:
            tag = "V"
        yield word, tag
        before = word


def _coarse(fine: str) -> str:
    return {"NN": "N", "VB": "V", "JJ": "A"}.get(fine[:2], "O")


def _kind(lemma: str, tags: Counter[str], is_scene: bool) -> str:
    listed = listed_kind(lemma)
    if listed is not None:
        return listed
    if is_scene:
        return "scenes"
    if tags["O"] > tags["N"] + tags["V"] + tags["A"]:
        return ""
    if tags["A"] > tags["N"] + tags["V"]:
        return "attributes"
    return "actions" if tags["V"] > tags["N"] else "objects"


def _first(batches: TextBatches, num_texts: int) -> Iterable[str]:
    left = num_texts
    for batch in batches():
        yield from batch.texts[:left]
        left -= len(batch.texts)
        if left <= 0:
            return
