"""Concepts by k-means over a vector column that the clips table already has.

The vectors are made elsewhere (a sentence encoder, a video model); this module only groups them,
streaming, so that memory holds clusters x dimensions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mama_augment.concepts.base import ColumnKind, ConceptAssigner, ConceptConfig, write_model
from mama_augment.concepts.column import is_list, is_number
from mama_augment.concepts.language.tagging import learn_language
from mama_augment.concepts.language.telling import telling_words
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

NUM_CLUSTERS = 64
MINIBATCH = 4_096
VECTORS_FOR_ONE_PASS = 100_000
MAX_PASSES = 20
NUM_NAME_WORDS = 3
MAX_NAME_TEXTS = 50_000

Vectors = npt.NDArray[np.float32]


def _holds_vectors(type_: pa.DataType) -> bool:
    return is_list(type_) and is_number(type_.value_type)


@dataclass(frozen=True)
class Clusters(ConceptAssigner):
    """Assigns the nearest centre; none where the clip has no vector."""

    name = "embedding"
    help = (
        "one of --num-concepts (64) k-means clusters of the vectors (lists of numbers) in "
        "--concept-column"
    )
    options = ("num_concepts", "column", "seed")
    reads = ColumnKind(text="vectors: lists of numbers", fits=_holds_vectors)

    centres: Vectors
    """[clusters, dimensions], unit length where the vectors are."""
    labels: tuple[str, ...]
    column: str | None = None
    """Where the vectors are."""

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Clusters:
        """See ConceptAssigner."""
        return fit_clusters(batches, config.num_concepts, seed=config.seed, column=config.column)

    @property
    def names(self) -> Sequence[str]:
        return self.labels

    def assign(self, batch: TextBatch) -> list[list[int]]:
        present = [i for i, value in enumerate(batch.values) if value is not None]
        assigned: list[list[int]] = [[] for _ in batch.values]
        for i, cluster in zip(present, self._nearest(batch, present), strict=True):
            assigned[i] = [int(cluster)]
        return assigned

    def _nearest(self, batch: TextBatch, present: Sequence[int]) -> npt.NDArray[np.int64]:
        if not present:
            return np.zeros(0, np.int64)
        vectors = _stack([batch.values[i] for i in present])
        if vectors.shape[1] != self.centres.shape[1]:
            raise InputError(
                f"the vectors have {vectors.shape[1]} dimensions, the saved clusters "
                f"{self.centres.shape[1]}; give vectors of the same encoder"
            )
        # |x - c|² without |x|², which is the same for every centre.
        return (-2 * vectors @ self.centres.T + (self.centres**2).sum(axis=1)).argmin(axis=1)

    def save(self, folder: Folder) -> None:
        sink = io.BytesIO()
        np.save(sink, self.centres)
        folder.write_bytes("centres.npy", sink.getvalue())
        content = {"assigner": self.name, "column": self.column, "labels": self.labels}
        write_model(folder, content)

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Clusters:
        """See ConceptAssigner."""
        stream = io.BytesIO(folder.read_bytes("centres.npy"))
        centres = np.load(stream, allow_pickle=False)
        return cls(centres, tuple(content["labels"]), content.get("column"))


def fit_clusters(
    batches: TextBatches,
    num_clusters: int | None = None,
    *,
    seed: int = 0,
    column: str | None = None,
) -> Clusters:
    """Minibatch k-means in a few passes; clusters are named by their most telling words.

    Raises:
        InputError: the column holds no vector, or vectors of several lengths.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    num_vectors = sum(len(vectors) for vectors in _minibatches(batches))
    if not num_vectors:
        raise InputError("--concepts embedding: the concept column holds no vector at all")
    model = MiniBatchKMeans(
        n_clusters=min(num_clusters or NUM_CLUSTERS, num_vectors),
        random_state=seed,
        n_init=3,
        reassignment_ratio=0.0,
    )
    with threadpool_limits(limits=1):
        for _ in range(min(MAX_PASSES, max(1, VECTORS_FOR_ONE_PASS // num_vectors))):
            for vectors in _minibatches(batches):
                model.partial_fit(vectors)
    clusters = Clusters(np.asarray(model.cluster_centers_, np.float32), ())
    return Clusters(clusters.centres, _names(clusters, batches), column)


def _minibatches(batches: TextBatches) -> Iterator[Vectors]:
    """Vectors in chunks of at least `MINIBATCH`, so that k-means++ starts from a fair sample."""
    pending: list[Any] = []
    for batch in batches():
        pending.extend(value for value in batch.values if value is not None)
        if len(pending) >= MINIBATCH:
            yield _stack(pending)
            pending = []
    if pending:
        yield _stack(pending)


def _stack(vectors: Sequence[Any]) -> Vectors:
    lengths = sorted({len(v) for v in vectors})
    if len(lengths) > 1:
        raise InputError(f"the concept column holds vectors of several lengths: {lengths}")
    return np.asarray(vectors, np.float32)


def _names(clusters: Clusters, batches: TextBatches) -> tuple[str, ...]:
    """The words that tell each cluster's texts from the others' (`telling`), of a sample."""
    texts: list[str] = []
    ids: list[int] = []
    for batch in batches():
        for text, own in zip(batch.texts, clusters.assign(batch), strict=True):
            if own and len(texts) < MAX_NAME_TEXTS:
                texts.append(text)
                ids.append(own[0])
        if len(texts) >= MAX_NAME_TEXTS:
            break
    from scipy.sparse import csr_matrix

    has = csr_matrix(
        (np.ones(len(ids)), (np.arange(len(ids)), ids)), (len(ids), len(clusters.centres))
    )
    named = telling_words(has, texts, learn_language(batches), NUM_NAME_WORDS)
    return tuple(f"cluster {number}: {', '.join(words)}" for number, words in enumerate(named))
