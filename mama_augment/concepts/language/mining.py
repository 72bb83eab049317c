"""Concepts mined from the texts themselves: things, doings and places, as lemmas and compounds.

Algorithm:
    1. Tag a sample of the texts; that decides lemmas and kinds (`tagging`).
    2. Count, once per text, the lemmas of the wanted kinds and the pairs of neighbouring lemmas
       that may be a compound: two things ("ice cream"), or what a curated list names ("hot dog").
       Further names of a thing count as the thing (`curated.synonyms`).
    3. A pair that is much more frequent than chance, and common among the texts with either word,
       is a compound.
    4. The most frequent of them all are the concepts.
    5. Count which concepts come together. Where at least 70 % of the texts with b have a, and a is
       at least twice as frequent, b implies a: "guitar" implies "play", and says more.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mama_augment.concepts.language.counting import FrequentCounter
from mama_augment.concepts.language.curated import (
    CURATED,
    Entry,
    as_lemmas,
    curated,
    surfaces,
    synonyms,
)
from mama_augment.concepts.language.lemmas import BARRIER, ENGLISH, Language
from mama_augment.concepts.language.tagging import learn_language
from mama_augment.concepts.language.texts import TextBatches

NUM_CONCEPTS = 1_000
MIN_TEXTS = 3
"""Texts that a mined concept needs, where there are more than `FEW_TEXTS`."""
FEW_TEXTS = 300
COMPOUND_SHARE = 0.1
"""Of the texts with the rarer word of a pair."""
COMPOUND_LIFT = 10.0
"""Times as frequent as chance."""
IMPLIED_SHARE = 0.7
IMPLIED_RATIO = 2


@dataclass(frozen=True, kw_only=True)
class Mined:
    """What `mine` found."""

    entries: tuple[Entry, ...]
    """The most frequent first."""
    language: Language
    min_texts: int
    """Texts that a concept needs, so that it is one."""


def mine(
    batches: TextBatches,
    kinds: tuple[str, ...],
    num_concepts: int | None = None,
    code: str = ENGLISH,
    min_texts: int | None = None,
) -> Mined:
    """Concepts of these kinds, as `Entry`s whose phrases are lemmas; see the module."""
    language = learn_language(batches, code)
    further = synonyms() if code == ENGLISH else {}
    listed = _listed_pairs(language) if code == ENGLISH else frozenset()
    singles, pairs = FrequentCounter(), FrequentCounter()
    num_texts = 0
    for batch in batches():
        num_texts += len(batch.texts)
        for text in batch.texts:
            stream = language.stream(text)
            singles.update({further.get(lemma, lemma) for lemma in stream if lemma != BARRIER})
            pairs.update(set(_pairs(stream, language, listed)))
    least = min_texts or (MIN_TEXTS if num_texts > FEW_TEXTS else 1)
    counts = dict(singles.most_common(singles.max_items, least))
    wanted = {
        lemma: count
        for lemma, count in counts.items()
        if language.kind(lemma) in kinds and not lemma.isdigit()
    }
    for pair, count in pairs.most_common(pairs.max_items, max(2, least)):
        if language.kind(pair) in kinds and _is_compound(pair, count, counts, num_texts, listed):
            name = further.get(pair, pair)
            wanted[name] = wanted.get(name, 0) + count
    names = sorted(wanted, key=lambda n: (-wanted[n], n))[: num_concepts or NUM_CONCEPTS]
    others = defaultdict(list)
    for phrase, name in sorted(further.items()):
        others[name].append(phrase)
    written = surfaces() if code == ENGLISH else {}
    entries = tuple(Entry(written.get(n, n), (n, *others[n])) for n in names)
    return Mined(entries=entries, language=language, min_texts=least)


def implied(counts: np.ndarray, together: np.ndarray) -> dict[int, tuple[int, ...]]:
    """By concept: those that its texts nearly always have too, and that are more general.

    counts: [concepts]; together: [concepts, concepts], texts with both.
    """
    share = together / np.maximum(counts, 1)[:, None]
    general = counts[None, :] >= IMPLIED_RATIO * np.maximum(counts, 1)[:, None]
    enough = counts[:, None] >= MIN_TEXTS
    found: dict[int, list[int]] = defaultdict(list)
    for concept, other in zip(
        *np.nonzero((share >= IMPLIED_SHARE) & general & enough), strict=True
    ):
        if concept != other:
            found[int(concept)].append(int(other))
    return {concept: tuple(others) for concept, others in found.items()}


def _listed_pairs(language: Language) -> frozenset[str]:
    """Things and places of two words in the curated lists, as lemmas."""
    phrases = (
        as_lemmas(phrase, language)
        for name in CURATED
        if name != "actions"
        for entry in curated(name)
        for phrase in entry.phrases
    )
    return frozenset(phrase for phrase in phrases if phrase.count(" ") == 1)


def _pairs(stream: list[str], language: Language, listed: frozenset[str]) -> Iterator[str]:
    kind = language.kind
    for first, second in itertools.pairwise(stream):
        if BARRIER in (first, second) or first == second:
            continue
        pair = f"{first} {second}"
        things = kind(first) in ("objects", "scenes") and kind(second) in ("objects", "scenes")
        if things or pair in listed:
            yield pair


def _is_compound(
    pair: str, count: int, counts: dict[str, int], num_texts: int, listed: frozenset[str]
) -> bool:
    if pair in listed:
        return True
    first, second = (counts.get(lemma, 0) for lemma in pair.split(" "))
    if not first or not second:
        return False
    lift = count * num_texts / (first * second)
    return lift >= COMPOUND_LIFT and count >= COMPOUND_SHARE * min(first, second) and count >= 5
