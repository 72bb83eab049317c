"""Encode a split with a model and measure retrieval on it.

Shapes: R clips, C captions, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mama_train import ranks
from mama_train.data.batch import same_text
from mama_train.data.index import SplitIndex
from mama_train.data.source import BatchSource
from mama_train.measure.metrics import (
    bucket_of_query,
    by_bucket,
    by_concept,
    chance,
    dual_softmax,
    published,
    ranks_of,
    relevance,
    retrieval,
)
from mama_train.models.base import DualEncoder

ROWS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class SplitTexts:
    """The texts of a split: each caption's clip row, text and concepts."""

    clip_ids: list[str]
    rows: list[int]
    texts: list[str]
    concepts: list[tuple[int, ...]]


def split_texts(clips: BatchSource, index: SplitIndex) -> SplitTexts:
    """The captions that an index holds, read from the rows."""
    rows, texts, concepts = [], [], []
    for row, place in zip(index.clip_C.tolist(), index.caption_C.tolist(), strict=True):
        caption = clips.texts(row)[1][place]
        rows.append(row)
        texts.append(caption.text)
        concepts.append(caption.concept_ids)
    clip_ids = [clips.texts(row)[0] for row in range(index.num_clips)]
    return SplitTexts(clip_ids=clip_ids, rows=rows, texts=texts, concepts=concepts)


@torch.no_grad()
def embed_videos(
    model: DualEncoder, clips: BatchSource, num_clips: int, autocast: torch.dtype | None = None
) -> Tensor:
    """Unit vectors [R,D] on the CPU; each process encodes its share."""
    device = model.logit_scale.device
    mine = ranks.share(num_clips)
    parts = [torch.empty(0, _width(model), device=device)]
    for rows in _pieces(mine.start, mine.stop):
        video = torch.from_numpy(np.stack([clips.video(r) for r in rows])).to(device)
        with _autocast(device, autocast):
            parts.append(model.embed_video(video).float())
    return ranks.gather(torch.cat(parts), num_clips).cpu()


@torch.no_grad()
def embed_texts(
    model: DualEncoder, clips: BatchSource, texts: list[str], autocast: torch.dtype | None = None
) -> Tensor:
    """Unit vectors [C,D] on the CPU; each process encodes its share."""
    device = model.logit_scale.device
    mine = ranks.share(len(texts))
    parts = [torch.empty(0, _width(model), device=device)]
    for rows in _pieces(mine.start, mine.stop):
        ids, mask = clips.tokenizer.encode(texts[rows.start : rows.stop])
        with _autocast(device, autocast):
            parts.append(model.embed_text(ids.to(device), mask.to(device)).float())
    return ranks.gather(torch.cat(parts), len(texts)).cpu()


def evaluate(
    model: DualEncoder,
    clips: BatchSource,
    concepts: Sequence[dict[str, Any]] = (),
    *,
    autocast: torch.dtype | None = None,
    with_queries: bool = False,
) -> dict[str, Any]:
    """Text-to-video and video-to-text metrics of a split, dual-softmax ones apart, and R@1
    (text to video) by concept and, with `concepts` (see `read_concepts`), by their frequency.

    with_queries: also, under `queries`, the rank of every query (see `measure`).
    """
    index = clips.rows.index
    was_training = model.training
    model.eval()
    texts = split_texts(clips, index)
    video_RD = embed_videos(model, clips, index.num_clips, autocast)
    text_CD = embed_texts(model, clips, texts.texts, autocast)
    model.train(was_training)
    similarity_TV = (text_CD @ video_RD.T).numpy()
    return measure(similarity_TV, texts, concepts, with_queries=with_queries)


def embedding_table(model: DualEncoder, clips: BatchSource) -> pa.Table:
    """One row per clip, then one per caption: kind (video | text), clip_id, text (null for
    videos), embedding (float32 list, unit length)."""
    index = clips.rows.index
    texts = split_texts(clips, index)
    video_RD = embed_videos(model, clips, index.num_clips)
    text_CD = embed_texts(model, clips, texts.texts)
    vectors = torch.cat([video_RD, text_CD]).numpy()
    num_videos, num_texts = len(video_RD), len(text_CD)
    return pa.table(
        {
            "kind": ["video"] * num_videos + ["text"] * num_texts,
            "clip_id": texts.clip_ids + [texts.clip_ids[r] for r in texts.rows],
            "text": pa.array([None] * num_videos + texts.texts, pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.reshape(-1)), vectors.shape[1]
            ),
        }
    )


def measure(
    similarity_TV: Any,
    texts: SplitTexts,
    concepts: Sequence[dict[str, Any]],
    *,
    with_queries: bool = False,
) -> dict[str, Any]:
    """The metrics of a similarity matrix [texts, videos]; under `published`, those of papers; under
    `chance`, what a random order would give.

    with_queries: also, under `queries`, the rank of every query by direction, in the order of the
    split, and the bucket of each text (head, middle, tail, or empty).
    """
    names = [same_text(t) for t in texts.texts]
    relevant = relevance(texts.rows, names, num_videos=len(texts.clip_ids))
    # A video without a caption of the wanted source is an item to be found, but no query.
    has_text = relevant.any(axis=0)
    video_sim, video_relevant = similarity_TV.T[has_text], relevant.T[has_text]
    directions = {
        "text_to_video": (similarity_TV, relevant),
        "video_to_text": (video_sim, video_relevant),
        "text_to_video_dual_softmax": (dual_softmax(similarity_TV), relevant),
        "video_to_text_dual_softmax": (dual_softmax(video_sim), video_relevant),
    }
    ranks = {name: ranks_of(*of_direction)[0] for name, of_direction in directions.items()}
    num_before = {int(c["id"]): int(c["num_before"]) for c in concepts}
    name_of = {int(c["id"]): str(c["name"]) for c in concepts}
    per_concept = by_concept(ranks["text_to_video"], texts.concepts)
    queries = {name: rank_Q.tolist() for name, rank_Q in ranks.items()} | {
        "bucket": bucket_of_query(texts.concepts, num_before) if num_before else []
    }
    return {
        "num_clips": len(texts.clip_ids),
        "num_texts": len(texts.texts),
        **{name: retrieval(*of_direction).to_json() for name, of_direction in directions.items()},
        "chance": {
            "text_to_video": chance(relevant),
            "video_to_text": chance(video_relevant),
        },
        "published": _published(similarity_TV, texts.rows),
        "by_frequency": (
            by_bucket(ranks["text_to_video"], texts.concepts, num_before) if num_before else {}
        ),
        "by_concept": [
            {"id": c, "name": name_of.get(c, str(c)), "num_before": num_before.get(c, 0), **row}
            for c, row in per_concept.items()
        ],
        **({"queries": queries} if with_queries else {}),
    }


def _published(similarity_TV: Any, rows: list[int]) -> dict[str, Any]:
    to_video, to_text = published(similarity_TV, rows)
    # Dual softmax is over the queries: the texts in one direction, the videos in the other.
    scaled_to_video = published(dual_softmax(similarity_TV), rows)[0]
    scaled_to_text = published(dual_softmax(similarity_TV.T).T, rows)[1]
    return {
        "text_to_video": to_video.to_json(),
        "video_to_text": to_text.to_json(),
        "text_to_video_dual_softmax": scaled_to_video.to_json(),
        "video_to_text_dual_softmax": scaled_to_text.to_json(),
    }


def _pieces(start: int, stop: int) -> Iterator[range]:
    for first in range(start, stop, ROWS_AT_ONCE):
        yield range(first, min(first + ROWS_AT_ONCE, stop))


def _width(model: DualEncoder) -> int:
    return model.embed_dim


def _autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
