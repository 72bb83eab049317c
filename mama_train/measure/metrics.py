"""Retrieval metrics, both directions, many-to-many.

Shapes: T texts, V videos. A query's rank is 1 + the number of items with a strictly higher
similarity than its best relevant item, so ties never count against it and a constant matrix
scores perfectly: `tied_share` says how many queries had such a tie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
BUCKETS = ("head", "middle", "tail")


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Metrics of one direction. R@k are shares of the queries in percent."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    mean_rank: float
    num_queries: int
    tied_share: float

    def to_json(self) -> dict[str, float]:
        return {
            "R@1": self.r1,
            "R@5": self.r5,
            "R@10": self.r10,
            "MdR": self.median_rank,
            "MnR": self.mean_rank,
            "num_queries": self.num_queries,
            "tied_share": self.tied_share,
        }


def ranks_of(similarity_QI: Floats, relevant_QI: Bools) -> tuple[NDArray[np.int64], Bools]:
    """(rank of each query's best relevant item, whether an irrelevant item ties with it).

    Raises:
        ValueError: a similarity is NaN, or a query has no relevant item.
    """
    if np.isnan(similarity_QI).any():
        rows = np.flatnonzero(np.isnan(similarity_QI).any(axis=1))
        raise ValueError(f"similarities are NaN for {len(rows)} queries, the first is {rows[0]}")
    if not relevant_QI.any(axis=1).all():
        raise ValueError(f"query {np.argmin(relevant_QI.any(axis=1))} has no relevant item")
    best_Q = np.where(relevant_QI, similarity_QI, -np.inf).max(axis=1)
    rank_Q = 1 + (similarity_QI > best_Q[:, None]).sum(axis=1)
    tied_Q = ((similarity_QI == best_Q[:, None]) & ~relevant_QI).any(axis=1)
    return rank_Q, tied_Q


def retrieval(similarity_QI: Floats, relevant_QI: Bools) -> Retrieval:
    """Metrics of the queries (rows) over the items (columns)."""
    rank_Q, tied_Q = ranks_of(similarity_QI, relevant_QI)
    return Retrieval(
        r1=100 * float((rank_Q <= 1).mean()),
        r5=100 * float((rank_Q <= 5).mean()),
        r10=100 * float((rank_Q <= 10).mean()),
        median_rank=float(np.median(rank_Q)),
        mean_rank=float(rank_Q.mean()),
        num_queries=len(rank_Q),
        tied_share=float(tied_Q.mean()),
    )


def chance(relevant_QI: Bools) -> dict[str, float]:
    """What a random order of the items would give on average: R@k in percent, and MnR.

    With r of n items relevant to a query, none of them is among the first k of a random order with
    probability C(n−r, k)/C(n, k), and the best of them has the mean rank (n+1)/(r+1). Ties do not
    count, as there are none.
    """
    num = relevant_QI.shape[1]
    relevant_Q = relevant_QI.sum(axis=1)
    found = {}
    for k in (1, 5, 10):
        others_Q = (num - relevant_Q).astype(np.float64)
        missed_Q = np.ones(len(relevant_Q))
        for i in range(min(k, num)):
            missed_Q *= np.clip(others_Q - i, 0, None) / (num - i)
        found[f"R@{k}"] = 100 * float((1 - missed_Q).mean())
    return found | {"MnR": float(((num + 1) / (relevant_Q + 1)).mean())}


def dual_softmax(similarity_QI: Floats, *, inverse_temperature: float = 100.0) -> Floats:
    """s · softmax over the queries of s: an item that every query likes counts for less.

    It needs all queries at once, which a search engine never has: report it apart.
    """
    scaled = inverse_temperature * similarity_QI
    scaled = np.exp(scaled - scaled.max(axis=0, keepdims=True))
    return similarity_QI * scaled / scaled.sum(axis=0, keepdims=True)


def relevance(text_rows: Sequence[int], texts: Sequence[str], *, num_videos: int) -> Bools:
    """[T,V]: a video is relevant to its own texts and to every identical text."""
    rows_of_text: dict[str, list[int]] = {}
    for row, text in zip(text_rows, texts, strict=True):
        rows_of_text.setdefault(text, []).append(row)
    relevant = np.zeros((len(texts), num_videos), bool)
    for i, text in enumerate(texts):
        relevant[i, rows_of_text[text]] = True
    return relevant


def published(similarity_TV: Floats, text_rows: Sequence[int]) -> tuple[Retrieval, Retrieval]:
    """(text to video, video to text) as papers on video retrieval count it.

    Text to video: of each text, the rank of its own video; an identical text of another video does
    not make that one relevant. Video to text: a video's similarity to a video is the highest to any
    of the latter's texts, and the rank of the video itself among the videos counts, however many
    texts each has. Videos without a text are no queries, and are left out of video to text.

    Args:
        text_rows: the video of each text.
    """
    num_texts, num_videos = similarity_TV.shape
    own = np.zeros((num_texts, num_videos), bool)
    own[np.arange(num_texts), np.asarray(text_rows)] = True
    queries = np.unique(np.asarray(text_rows))
    best_VV = np.full((num_videos, num_videos), -np.inf, similarity_TV.dtype)
    np.maximum.at(best_VV, np.asarray(text_rows), similarity_TV)  # [of the text, of the query]
    of_queries = best_VV[np.ix_(queries, queries)].T
    return retrieval(similarity_TV, own), retrieval(of_queries, np.eye(len(queries), dtype=bool))


def bucket_of_concept(num_before: Mapping[int, int]) -> dict[int, str]:
    """Concepts by frequency before balancing: thirds from head to tail."""
    ordered = sorted(num_before, key=lambda c: (-num_before[c], c))
    return {c: BUCKETS[3 * i // len(ordered)] for i, c in enumerate(ordered)}


def by_bucket(
    rank_Q: NDArray[np.int64],
    concepts_of_query: Sequence[Sequence[int]],
    num_before: Mapping[int, int],
) -> dict[str, dict[str, float]]:
    """R@1 of the queries by the bucket of their rarest concept."""
    found: dict[str, list[int]] = {b: [] for b in BUCKETS}
    buckets = bucket_of_query(concepts_of_query, num_before)
    for rank, bucket in zip(rank_Q.tolist(), buckets, strict=True):
        if bucket:
            found[bucket].append(rank)
    return {b: _r1(ranks) for b, ranks in found.items() if ranks}


def by_concept(
    rank_Q: NDArray[np.int64],
    concepts_of_query: Sequence[Sequence[int]],
) -> dict[int, dict[str, float]]:
    """R@1 of the queries that are about each concept."""
    found: dict[int, list[int]] = {}
    for rank, concepts in zip(rank_Q.tolist(), concepts_of_query, strict=True):
        for concept in concepts:
            found.setdefault(concept, []).append(rank)
    return {c: _r1(found[c]) for c in sorted(found)}


def bucket_of_query(
    concepts_of_query: Sequence[Sequence[int]], num_before: Mapping[int, int]
) -> list[str]:
    """The bucket of each query's rarest concept; empty where it has none that is known."""
    bucket_of = bucket_of_concept(num_before)
    found = []
    for concepts in concepts_of_query:
        known = [c for c in concepts if c in num_before]
        rarest = min(known, key=lambda c: (num_before[c], -c)) if known else None
        found.append("" if rarest is None else bucket_of[rarest])
    return found


def _r1(ranks: Sequence[int]) -> dict[str, float]:
    return {
        "R@1": 100 * sum(r <= 1 for r in ranks) / len(ranks),
        "num_queries": len(ranks),
    }
