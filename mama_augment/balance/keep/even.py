"""Keep probabilities that make visits as even as a target allows, for the share that is kept.

Of each text i, with its concepts a_ic, p_i in [low_i, 1] is wanted, with Σ p_i = share · N, such
that the visits v_c = Σ_i p_i a_ic, as shares q = v / Σ v, have the least KL(q || t) to a target t;
for the uniform one that is the greatest entropy. V·KL is convex in v and V linear, so every
level set is convex: no local optimum but the global one.

Algorithm (Frank-Wolfe; texts with the same concepts are one row):
    1. Start with one p for all.
    2. The gradient per concept is g_c = (log(q_c / t_c) − KL) / V; a text's is the sum over its
       concepts, s = A g. The best vertex keeps the texts with the lowest s, as many as the share
       asks for.
    3. Go towards it as far as KL falls (a search along the line, in the counts alone).
    4. Stop when the gap, an upper bound of what is left to gain, is small.

Each pass is two products with a sparse matrix. Memory: the distinct sets of concepts, 8 bytes each
and 4 per concept of it, and a float each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mama_augment.core.draws import mix

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

MAX_PASSES = 200
ENOUGH_GAP = 5e-3
"""Of KL, in nats: at most 0.5 % of the effective number is left to gain."""
LINE_STEPS = 30
DECIMALS = 6
"""Of a keep probability."""
SET_SALT = 12


@dataclass(kw_only=True)
class ConceptSets:
    """The distinct sets of concepts of training texts, and how many texts have each."""

    num_concepts: int
    num_unmatched: int = 0
    _parts: list[tuple[Keys, npt.NDArray[np.int64], list[tuple[int, ...]]]] = field(
        default_factory=list
    )

    def add(self, lists: Iterable[Sequence[int]]) -> None:
        """Count texts, a bucket at a time."""
        counts: dict[tuple[int, ...], int] = {}
        for ids in lists:
            if ids:
                own = tuple(ids)
                counts[own] = counts.get(own, 0) + 1
            else:
                self.num_unmatched += 1
        if counts:
            sets = list(counts)
            keys = set_keys(sets)
            self._parts.append((keys, np.array(list(counts.values()), np.int64), sets))

    def finish(self) -> Texts:
        """All of them, by key."""
        merged: dict[tuple[int, ...], int] = {}
        for _, counts, sets in self._parts:
            for own, count in zip(sets, counts.tolist(), strict=True):
                merged[own] = merged.get(own, 0) + count
        self._parts = []
        sets = list(merged)
        keys = set_keys(sets)
        order = np.argsort(keys, kind="stable")
        sizes = np.array([len(sets[i]) for i in order], np.int64)
        ids = np.array([c for i in order for c in sets[i]], np.int32)
        num_texts = np.array([float(merged[sets[i]]) for i in order])
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Texts(self.num_concepts, keys[order], num_texts, ids, starts)


@dataclass(frozen=True)
class Texts:
    """Training texts by their sets of concepts, keys ascending."""

    num_concepts: int
    keys: Keys
    num_texts: Floats
    """[sets]"""
    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    @property
    def total(self) -> float:
        return float(self.num_texts.sum())

    @cached_property
    def matrix(self) -> Any:
        """[sets, concepts], of ones."""
        from scipy.sparse import csr_matrix

        shape = (len(self.keys), self.num_concepts)
        return csr_matrix((np.ones(len(self.ids)), self.ids, self.starts), shape)

    @cached_property
    def _columns(self) -> Any:
        return self.matrix.T.tocsr()

    def visits(self, keep: Floats) -> Floats:
        """[concepts], expected when each text is kept with its set's probability."""
        return np.asarray(self._columns @ (self.num_texts * keep))

    def rarest(self, counts: Floats) -> Floats:
        """[sets], the least count of a set's concepts."""
        if not len(self.keys):
            return np.zeros(0)
        return np.minimum.reduceat(counts[self.ids], self.starts[:-1])

    def lost(self, probabilities: Floats) -> Floats:
        """[sets], Π (1 − p_c) over a set's concepts."""
        if not len(self.keys):
            return np.zeros(0)
        return np.multiply.reduceat(1 - probabilities[self.ids], self.starts[:-1])


@dataclass(frozen=True, kw_only=True)
class Even:
    """A solution."""

    keep: Floats
    """[sets]"""
    visits: Floats
    """[concepts], expected."""
    gap: float
    """KL is at most this far above the least there is, in nats."""


def set_keys(sets: Sequence[Sequence[int]]) -> Keys:
    """64 bits for each set of concepts, whatever their order."""
    sizes = np.array([len(own) for own in sets], np.int64)
    ids = np.array([i for own in sets for i in own], np.int64)
    sums = np.zeros(len(sets), np.uint64)
    owners = np.repeat(np.arange(len(sets)), sizes)
    np.add.at(sums, owners, mix(ids, SET_SALT))
    return mix(sums.view(np.int64), SET_SALT)


def make_even(texts: Texts, share: float, target: Floats, low: Floats) -> Even:
    """Solve for p.

    share: of the texts, to keep; more where `low` asks for more. target: [concepts], of visits; of
    any scale. low: [sets], the least probability.
    """
    total = max(share * texts.total, float(texts.num_texts @ low))
    span = texts.num_texts * (1 - low)
    fill = (total - texts.num_texts @ low) / max(span.sum(), 1e-300)
    keep = low + min(1.0, fill) * (1 - low)
    visits = texts.visits(keep)
    present = texts.visits(np.ones(len(keep))) > 0
    log_target = np.where(present, np.log(np.maximum(target, 1e-300)), 0.0)
    log_target -= np.log(np.exp(log_target[present]).sum()) if present.any() else 0.0
    gap = 0.0
    for _ in range(MAX_PASSES):
        gradient = _gradient(visits, log_target, present)
        scores = np.asarray(texts.matrix @ gradient)
        vertex = _lowest(scores, texts.num_texts, low, total)
        towards = texts.visits(vertex)
        # V·(KL − now) is convex in the visits, so its fall is at most that of its linear part; V is
        # at least the number of texts, each of which has a concept.
        gap = float(gradient @ (visits - towards)) * visits.sum() / max(total, 1e-300)
        if gap < ENOUGH_GAP:
            break
        step = _line_search(visits, towards, log_target, present)
        if step == 0.0:
            break
        keep = keep + step * (vertex - keep)
        visits = visits + step * (towards - visits)
    # Decimals that no machine's last bit changes.
    keep = np.round(np.clip(keep, low, 1.0), DECIMALS)
    return Even(keep=keep, visits=texts.visits(keep), gap=gap)


def divergence(visits: Floats, log_target: Floats, present: npt.NDArray[np.bool_]) -> float:
    """KL(q || t) in nats, q the shares of the visits."""
    shares = visits[present] / visits[present].sum()
    own = shares > 0
    return float((shares[own] * (np.log(shares[own]) - log_target[present][own])).sum())


def _gradient(visits: Floats, log_target: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    kl = divergence(visits, log_target, present)
    total = visits.sum()
    shares = np.maximum(visits / total, 1e-12)
    return np.where(present, (np.log(shares) - log_target - kl) / total, 0.0)


def _lowest(scores: Floats, num_texts: Floats, low: Floats, total: float) -> Floats:
    """The vertex: 1 for the lowest scores until `total` texts are kept, `low` for the rest."""
    order = np.argsort(scores, kind="stable")
    room = num_texts * (1 - low)
    left = total - float(num_texts @ low)
    before = np.cumsum(room[order]) - room[order]
    part = np.clip((left - before) / np.maximum(room[order], 1e-300), 0.0, 1.0)
    vertex = low.copy()
    vertex[order] += part * (1 - low[order])
    return vertex


def _line_search(
    visits: Floats, towards: Floats, log_target: Floats, present: npt.NDArray[np.bool_]
) -> float:
    """The step in [0, 1] with the least KL, by golden sections: along a line it has one valley."""
    golden = (np.sqrt(5) - 1) / 2
    a, b = 0.0, 1.0

    def at(step: float) -> float:
        return divergence(visits + step * (towards - visits), log_target, present)

    c, d = b - golden * (b - a), a + golden * (b - a)
    value_c, value_d = at(c), at(d)
    for _ in range(LINE_STEPS):
        if value_c < value_d:
            b, d, value_d = d, c, value_c
            c = b - golden * (b - a)
            value_c = at(c)
        else:
            a, c, value_c = c, d, value_d
            d = a + golden * (b - a)
            value_d = at(d)
    step = (a + b) / 2
    return step if at(step) < at(0.0) else 0.0
