"""How good an assigner is on these texts: does it hold together, and would it come out again?

Coherence: a concept's most telling words (c-TF-IDF in the half that it was found in) should stand
together in texts that it has not seen: the mean NPMI of their pairs in the other half,
NPMI = log(p_ij / (p_i p_j)) / −log p_ij, from −1 (never together) over 0 (by chance) to 1.
Stability: found anew on other halves with other seeds, each concept is matched with its likeness
(the best assignment of all to all by Jaccard overlap of their texts); the mean over texts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mama_augment.concepts import ConceptConfig, FittedAssigner, fit_assigner
from mama_augment.concepts.language.lemmas import Language
from mama_augment.concepts.language.tagging import learn_language
from mama_augment.concepts.language.telling import telling_words
from mama_augment.concepts.language.texts import TextBatch, batches_of
from mama_augment.core.draws import draw_unit

SEEDS = (0, 1, 2)
MAX_TEXTS = 40_000
"""Texts that are looked at, drawn by hash."""
NUM_WORDS = 5
LEAST = 3
"""Texts of a concept that a word needs to tell it."""
MIN_TEXTS = 30
"""Of a concept, for its coherence to be measured."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Figures of an assigner."""

    num_concepts: int
    coherence: float | None
    """Mean NPMI over concepts with at least `MIN_TEXTS` texts; None where there is none."""
    stability: float
    """Mean Jaccard overlap of matched concepts, over texts and pairs of seeds."""
    share_without: float
    """Of the texts, those without a concept."""
    per_text: float

    def to_json(self) -> dict[str, Any]:
        return {n: None if v is None else round(v, 4) for n, v in vars(self).items()}


def judge(config: ConceptConfig, texts: Sequence[str]) -> Judgement:
    """Find concepts in halves of the texts with three seeds, and measure; see the module."""
    texts = _sample(texts)
    language = learn_language(batches_of(texts), config.language)
    found: list[np.ndarray] = []
    coherence: list[float] = []
    for seed in SEEDS:
        is_in = np.array([draw_unit(seed, "half", i) < 0.5 for i in range(len(texts))])
        own = [text for text, inside in zip(texts, is_in, strict=True) if inside]
        other = [text for text, inside in zip(texts, is_in, strict=True) if not inside]
        assigner = fit_assigner(dataclasses.replace(config, seed=seed), batches_of(own))
        coherence += coherence_of(assigner, own, other, language)
        found.append(_has(assigner, texts))
    whole = fit_assigner(config, batches_of(texts))
    ids = whole.assign(TextBatch(texts=texts, values=[None] * len(texts)))
    return Judgement(
        num_concepts=len(whole.names),
        coherence=float(np.mean(coherence)) if coherence else None,
        stability=float(np.mean([overlap(a, b) for a, b in itertools.combinations(found, 2)])),
        share_without=sum(not own for own in ids) / len(ids),
        per_text=sum(map(len, ids)) / len(ids),
    )


def coherence_of(
    assigner: FittedAssigner, own: Sequence[str], other: Sequence[str], language: Language
) -> list[float]:
    """NPMI in `other` of the words that tell each concept in `own`, of those with enough texts."""
    has = _has(assigner, own)
    words = telling_words(has, own, language, NUM_WORDS, LEAST)
    sizes = np.asarray(has.sum(axis=0)).ravel()
    chosen = [w for w, n in zip(words, sizes, strict=True) if n >= MIN_TEXTS and len(w) > 1]
    return npmi(chosen, [set(language.content(text)) for text in other])


def npmi(groups: Sequence[Sequence[str]], texts: Sequence[set[str]]) -> list[float]:
    """Mean NPMI of the pairs of each group of words, in texts given as sets of words."""
    from scipy.sparse import csr_matrix

    index = {w: i for i, w in enumerate(sorted({w for group in groups for w in group}))}
    pairs = [(row, index[w]) for row, text in enumerate(texts) for w in text if w in index]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    has = csr_matrix((np.ones(len(rows)), (rows, columns)), (len(texts), len(index)))
    together = np.asarray((has.T @ has).todense()) / len(texts)
    alone = together.diagonal()
    values = []
    for group in groups:
        of_pairs = []
        for a, b in itertools.combinations([index[w] for w in group], 2):
            p = together[a, b]
            if p <= 0:
                of_pairs.append(-1.0)
            else:
                of_pairs.append(np.log(p / (alone[a] * alone[b])) / -np.log(p) if p < 1 else 1.0)
        values.append(float(np.mean(of_pairs)))
    return values


def overlap(one: Any, other: Any) -> float:
    """Mean Jaccard overlap of matched concepts, weighted by the texts of `one`'s.

    one, other: [texts, concepts] sparse, of ones.
    """
    from scipy.optimize import linear_sum_assignment

    both = np.asarray((one.T @ other).todense())
    sizes = np.asarray(one.sum(axis=0)).ravel(), np.asarray(other.sum(axis=0)).ravel()
    jaccard = both / np.maximum(sizes[0][:, None] + sizes[1][None, :] - both, 1)
    rows, columns = linear_sum_assignment(-jaccard)
    return float((jaccard[rows, columns] * sizes[0][rows]).sum() / max(1, sizes[0].sum()))


def _has(assigner: FittedAssigner, texts: Sequence[str]) -> Any:
    """[texts, concepts] sparse, of ones."""
    from scipy.sparse import csr_matrix

    ids = assigner.assign(TextBatch(texts=texts, values=[None] * len(texts)))
    rows = np.repeat(np.arange(len(ids)), [len(own) for own in ids])
    columns = np.array([i for own in ids for i in own], np.int64)
    shape = (len(texts), max(1, len(assigner.names)))
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape)


def _sample(texts: Sequence[str]) -> list[str]:
    if len(texts) <= MAX_TEXTS:
        return list(texts)
    share = MAX_TEXTS / len(texts)
    return [text for i, text in enumerate(texts) if draw_unit("judge", i) < share]
