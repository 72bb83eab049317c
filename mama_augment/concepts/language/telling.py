"""The words that tell a group of texts from others: c-TF-IDF (as BERTopic names its clusters).

A word's weight in a class is tf · log(1 + A / f): its count there as a share of the class's words,
times how rare it is, with A the mean number of words of a class and f its count in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mama_augment.concepts.language.lemmas import Language


def telling_words(
    has: Any, texts: Sequence[str], language: Language, num_words: int, least: int = 1
) -> list[list[str]]:
    """The most telling lemmas of each class, the first the most.

    has: [texts, classes], sparse, of ones. least: texts of a class that a word of it needs.
    """
    from scipy.sparse import csr_matrix

    index: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(texts):
        for lemma in set(language.content(text)):
            if language.kind(lemma) in ("objects", "actions", "scenes"):
                rows.append(row)
                columns.append(index.setdefault(lemma, len(index)))
    shape = (len(texts), len(index))
    says = csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
    counts = (has.T @ says).tocsr()
    return top_words(counts, list(index), num_words, least)


def top_words(counts: Any, names: Sequence[str], num_words: int, least: int) -> list[list[str]]:
    """counts: [classes, words], sparse, of texts of each class with each word."""
    sizes = np.asarray(counts.sum(axis=1)).ravel()
    frequency = np.asarray(counts.sum(axis=0)).ravel()
    rarity = np.log1p(sizes.mean() / np.maximum(frequency, 1)) if len(sizes) else frequency
    found = []
    for row, size in enumerate(sizes):
        part = slice(counts.indptr[row], counts.indptr[row + 1])
        own = counts.indices[part]
        weights = counts.data[part] / max(size, 1) * rarity[own]
        enough = counts.data[part] >= least
        best = sorted(zip(-weights[enough], (names[i] for i in own[enough]), strict=True))
        found.append([name for _, name in best[:num_words]])
    return found
