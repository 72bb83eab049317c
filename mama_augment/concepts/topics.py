"""Topics by latent Dirichlet allocation over word counts, as in the paper's figure of concepts.

The paper (arXiv 2407.03788) shows the imbalance of captions as 8 LDA topics named by their top 5
words. Fitting streams: one pass counts words, further passes feed minibatches to online
variational Bayes, so that memory holds words x topics and never the captions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.concepts.base import (
    ConceptAssigner,
    ConceptConfig,
    TextBatch,
    TextBatches,
    write_model,
)
from mama_augment.concepts.counting import FrequentCounter
from mama_augment.concepts.words import content_words
from mama_augment.core.store.files import Folder

NUM_TOPICS = 8
NUM_NAME_WORDS = 5
MAX_WORDS = 20_000
MINIBATCH = 4_096
# Small corpora need several passes to converge; from this many texts on, one is enough.
TEXTS_FOR_ONE_PASS = 40_000
MAX_PASSES = 16
NUM_INFERENCE_STEPS = 30


@dataclass(frozen=True)
class Topics(ConceptAssigner):
    """Assigns to a text its most probable topic; none when it holds no known word."""

    name = "topics"
    help = "one of --num-concepts (8) LDA topics, named by its 5 top words; a text has one"
    options = ("num_concepts", "seed")
    reads = None

    vocabulary: tuple[str, ...]
    components: npt.NDArray[np.float64]
    """[topics, words], the variational parameters λ of the topics' word distributions."""
    _index: dict[str, int] = field(init=False, repr=False, compare=False)
    _beta: npt.NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from scipy.special import psi

        totals = self.components.sum(axis=1, keepdims=True)
        object.__setattr__(self, "_index", {w: i for i, w in enumerate(self.vocabulary)})
        object.__setattr__(self, "_beta", np.exp(psi(self.components) - psi(totals)))

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Topics:
        """See ConceptAssigner."""
        return fit_topics(batches, config.num_concepts, seed=config.seed)

    @property
    def names(self) -> Sequence[str]:
        # Alphabetical among equals, so that names do not hang on the sort's mood.
        order = np.argsort(-self.components, axis=1, kind="stable")[:, :NUM_NAME_WORDS]
        return [", ".join(self.vocabulary[i] for i in row) for row in order]

    def assign(self, batch: TextBatch) -> list[list[int]]:
        if not self.vocabulary:
            return [[] for _ in batch.texts]
        assigned: list[list[int]] = []
        for start in range(0, len(batch.texts), MINIBATCH):
            counts = _count(batch.texts[start : start + MINIBATCH], self._index)
            topics = _infer(counts, self._beta).argmax(axis=1)
            known = np.asarray(counts.sum(axis=1)).ravel() > 0
            assigned.extend([int(t)] if k else [] for t, k in zip(topics, known, strict=True))
        return assigned

    def save(self, folder: Folder) -> None:
        sink = io.BytesIO()
        np.save(sink, self.components)
        folder.write_bytes("components.npy", sink.getvalue())
        write_model(folder, {"assigner": self.name, "words": self.vocabulary, "names": self.names})

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Topics:
        """See ConceptAssigner."""
        stream = io.BytesIO(folder.read_bytes("components.npy"))
        return cls(tuple(content["words"]), np.load(stream, allow_pickle=False))


def fit_topics(batches: TextBatches, num_topics: int | None = None, *, seed: int = 0) -> Topics:
    """Fit topics in several passes over the texts; with few texts, at most one topic per text."""
    from sklearn.decomposition import LatentDirichletAllocation
    from threadpoolctl import threadpool_limits

    counter = FrequentCounter()
    num_texts = 0
    for batch in batches():
        num_texts += len(batch.texts)
        for text in batch.texts:
            counter.update(set(content_words(text)))
    # A word of a single text tells nothing about a topic, unless the corpus is tiny.
    min_texts = 2 if num_texts > 100 else 1
    frequent = counter.most_common(MAX_WORDS, min_texts)
    vocabulary = tuple(sorted(word for word, _ in frequent if not word.isdigit()))
    if not vocabulary:
        return Topics((), np.zeros((0, 0)))
    index = {word: i for i, word in enumerate(vocabulary)}
    model = LatentDirichletAllocation(
        n_components=min(num_topics or NUM_TOPICS, num_texts, len(vocabulary)),
        total_samples=num_texts,
        random_state=seed,
        n_jobs=1,
    )
    num_passes = min(MAX_PASSES, max(1, TEXTS_FOR_ONE_PASS // num_texts))
    # One thread: a sum's order, and with it the last bit, must not hang on the machine's cores.
    with threadpool_limits(limits=1):
        for _ in range(num_passes):
            for counts in _minibatches(batches, index):
                model.partial_fit(counts)
    return Topics(vocabulary, np.asarray(model.components_, np.float64))


def _minibatches(batches: TextBatches, index: dict[str, int]) -> Iterator[Any]:
    pending: list[str] = []
    for batch in batches():
        pending.extend(batch.texts)
        while len(pending) >= MINIBATCH:
            yield _count(pending[:MINIBATCH], index)
            pending = pending[MINIBATCH:]
    if pending:
        yield _count(pending, index)


def _count(texts: Sequence[str], index: dict[str, int]) -> Any:
    """Word counts, a scipy CSR matrix [texts, words]."""
    from scipy.sparse import csr_matrix

    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(texts):
        known = [index[word] for word in content_words(text) if word in index]
        rows.extend([row] * len(known))
        columns.extend(known)
    counts = csr_matrix(
        (np.ones(len(rows)), (rows, columns)), shape=(len(texts), len(index)), dtype=np.float64
    )
    counts.sum_duplicates()
    return counts


def _infer(counts: Any, beta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Variational topic weights γ [texts, topics] of each text, topics held fixed.

    The coordinate ascent of Blei et al. (2003): γ = α + Σ_w n_w φ_w, φ_w ∝ exp(E[log θ]) β_w, for
    all texts of the batch at once.
    """
    from scipy.sparse import csr_matrix
    from scipy.special import psi

    num_topics = len(beta)
    alpha = 1.0 / max(1, num_topics)
    gamma = np.ones((counts.shape[0], num_topics))
    row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    beta_of = beta[:, counts.indices].T
    for _ in range(NUM_INFERENCE_STEPS):
        theta = np.exp(psi(gamma) - psi(gamma.sum(axis=1, keepdims=True)))
        norm = (theta[row_of] * beta_of).sum(axis=1) + 1e-100
        share = csr_matrix((counts.data / norm, counts.indices, counts.indptr), counts.shape)
        gamma = alpha + theta * (share @ beta.T)
    return gamma
