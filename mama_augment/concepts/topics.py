"""Topics by latent Dirichlet allocation over word counts, as in the paper's figure of concepts.

The paper (arXiv 2407.03788) shows the imbalance of captions as 8 LDA topics named by their top 5
words. Fitting streams: one pass counts words, further passes feed minibatches to online
variational Bayes, so that memory holds words x topics and never the captions.

A caption has about ten words, two or three of which say what it is about. So topics are made of
lemmas of things, doings and places alone (`tagging`), a document is expected to be of one topic
(a small prior), words of next to no text or of more than a tenth of all are left out, and of
several restarts the one with the most coherent topics is taken.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.concepts.base import ConceptAssigner, ConceptConfig, write_model
from mama_augment.concepts.language.counting import FrequentCounter
from mama_augment.concepts.language.kinds import DEFAULT_KINDS
from mama_augment.concepts.language.lemmas import ENGLISH, Language
from mama_augment.concepts.language.tagging import learn_language
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.core.store.files import Folder

NUM_TOPICS = 8
NUM_NAME_WORDS = 5
MAX_WORDS = 20_000
MINIBATCH = 4_096
# Small corpora need several passes to converge; from this many texts on, one is enough.
TEXTS_FOR_ONE_PASS = 40_000
MAX_PASSES = 16
FEW_TEXTS = 100
FEW_WORDS = 50
NUM_INFERENCE_STEPS = 30
NUM_RESTARTS = 4
TEXTS_FOR_ALL_RESTARTS = 200_000
"""With more texts, a single fit: restarts are for what few texts leave open."""
DOC_PRIOR = 0.02
"""α of the topics of a text: a short one is about one."""
TOPIC_PRIOR = 0.01
MOST_COMMON = 0.1
"""Of the texts: a word of more of them tells no topic from another, where there are many."""


@dataclass(frozen=True)
class Topics(ConceptAssigner):
    """Assigns to a text its most probable topic; none when it holds no known word."""

    name = "topics"
    help = "one of --num-concepts (8) LDA topics, named by its 5 top words; a text has one"
    options = ("num_concepts", "seed", "language")
    reads = None

    vocabulary: tuple[str, ...]
    components: npt.NDArray[np.float64]
    """[topics, words], the variational parameters λ of the topics' word distributions."""
    language: Language = field(default_factory=Language)
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
        return fit_topics(batches, config.num_concepts, seed=config.seed, code=config.language)

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
            part = batch.texts[start : start + MINIBATCH]
            counts = _count(part, self._index, self.language)
            topics = _infer(counts, self._beta).argmax(axis=1)
            known = np.asarray(counts.sum(axis=1)).ravel() > 0
            assigned.extend([int(t)] if k else [] for t, k in zip(topics, known, strict=True))
        return assigned

    def save(self, folder: Folder) -> None:
        sink = io.BytesIO()
        np.save(sink, self.components)
        folder.write_bytes("components.npy", sink.getvalue())
        content = {"assigner": self.name, "words": self.vocabulary, "names": self.names}
        write_model(folder, {**content, "language": self.language.to_json()})

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Topics:
        """See ConceptAssigner."""
        stream = io.BytesIO(folder.read_bytes("components.npy"))
        components = np.load(stream, allow_pickle=False)
        return cls(tuple(content["words"]), components, Language.from_json(content["language"]))


def fit_topics(
    batches: TextBatches, num_topics: int | None = None, *, seed: int = 0, code: str = ENGLISH
) -> Topics:
    """Fit topics in several passes over the texts; with few texts, at most one topic per text."""
    from threadpoolctl import threadpool_limits

    language = learn_language(batches, code)
    counter = FrequentCounter()
    num_texts = 0
    for batch in batches():
        num_texts += len(batch.texts)
        for text in batch.texts:
            counter.update(set(_telling(text, language)))
    # A word of a single text tells nothing about a topic, unless the corpus is tiny.
    is_tiny = num_texts <= FEW_TEXTS
    frequent = counter.most_common(MAX_WORDS, 1 if is_tiny else 2)
    most = num_texts if is_tiny else MOST_COMMON * num_texts
    words = tuple(sorted(w for w, n in frequent if n <= most or len(frequent) < FEW_WORDS))
    if not words:
        return Topics((), np.zeros((0, 0)), language)
    num = min(num_topics or NUM_TOPICS, num_texts, len(words))
    num_fits = NUM_RESTARTS if num_texts <= TEXTS_FOR_ALL_RESTARTS else 1
    # One thread: a sum's order, and with it the last bit, must not hang on the machine's cores.
    with threadpool_limits(limits=1):
        counted = _Counted(batches, words, language, num_texts)
        fits = [counted.fit(num, seed * NUM_RESTARTS + number) for number in range(num_fits)]
        scores = [counted.coherence(components) for components in fits]
    best = max(range(num_fits), key=lambda i: (scores[i], -i))
    return Topics(words, fits[best], language)


class _Counted:
    """Texts as counts of the words that topics are made of."""

    def __init__(
        self, batches: TextBatches, words: tuple[str, ...], language: Language, num_texts: int
    ) -> None:
        index = {word: i for i, word in enumerate(words)}
        self._num_texts = num_texts
        self._stream = lambda: _minibatches(batches, index, language)

    def fit(self, num_topics: int, seed: int) -> npt.NDArray[np.float64]:
        """[topics, words], λ of one fit."""
        from sklearn.decomposition import LatentDirichletAllocation

        model = LatentDirichletAllocation(
            n_components=num_topics,
            total_samples=self._num_texts,
            doc_topic_prior=DOC_PRIOR,
            topic_word_prior=TOPIC_PRIOR,
            random_state=seed,
            n_jobs=1,
        )
        for _ in range(min(MAX_PASSES, max(1, TEXTS_FOR_ONE_PASS // self._num_texts))):
            for counts in self._stream():
                model.partial_fit(counts)
        return np.asarray(model.components_, np.float64)

    def coherence(self, components: npt.NDArray[np.float64]) -> float:
        """How often the top words of a topic stand together: the mean of log((D_ij + 1) / D_j),
        i the rarer one of a pair (UMass; Mimno et al., 2011)."""
        top = np.argsort(-components, axis=1, kind="stable")[:, :NUM_NAME_WORDS]
        own = np.unique(top)
        together = np.zeros((len(own), len(own)))
        for counts in self._stream():
            has = (counts[:, own] > 0).astype(np.float64)
            together += (has.T @ has).toarray()
        values = []
        for row in np.searchsorted(own, top):
            for a, b in itertools.combinations(row, 2):
                often = max(together[a, a], together[b, b], 1.0)
                values.append(np.log((together[a, b] + 1) / often))
        return float(np.mean(values)) if values else 0.0


def _minibatches(batches: TextBatches, index: dict[str, int], language: Language) -> Iterator[Any]:
    pending: list[str] = []
    for batch in batches():
        pending.extend(batch.texts)
        while len(pending) >= MINIBATCH:
            yield _count(pending[:MINIBATCH], index, language)
            pending = pending[MINIBATCH:]
    if pending:
        yield _count(pending, index, language)


def _telling(text: str, language: Language) -> list[str]:
    """Lemmas of things, doings and places."""
    kind = language.kind
    return [lemma for lemma in language.content(text) if kind(lemma) in DEFAULT_KINDS]


def _count(texts: Sequence[str], index: dict[str, int], language: Language) -> Any:
    """Word counts, a scipy CSR matrix [texts, words]."""
    from scipy.sparse import csr_matrix

    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(texts):
        known = [index[lemma] for lemma in language.content(text) if lemma in index]
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
    alpha = DOC_PRIOR
    gamma = np.ones((counts.shape[0], num_topics))
    row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    beta_of = beta[:, counts.indices].T
    for _ in range(NUM_INFERENCE_STEPS):
        theta = np.exp(psi(gamma) - psi(gamma.sum(axis=1, keepdims=True)))
        norm = (theta[row_of] * beta_of).sum(axis=1) + 1e-100
        share = csr_matrix((counts.data / norm, counts.indices, counts.indptr), counts.shape)
        gamma = alpha + theta * (share @ beta.T)
    return gamma
