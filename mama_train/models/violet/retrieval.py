"""Retrieval by fusion in two stages: a shortlist by embeddings, then a fused score of each pair.

All pairs of N videos and N texts are N² runs of the fusion encoder. Here each text's best videos
and each video's best texts by cosine are fused; what is not on a list ranks behind what is, by
cosine. With a shortlist of everything, this is the published evaluation.

Shapes: V videos, N texts, L visual tokens, S words, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mama_augment.core.errors import InputError
from mama_train.models.violet.model import Violet

BEHIND = 4.0
"""How far all cosines are moved down, to below the squashed fused scores."""


@dataclass(frozen=True, kw_only=True)
class FusedRanking:
    """score_NV: for ranks alone, larger is better: fused pairs in (−1, 1), others below −2.

    num_fused: pairs that were fused, of V·N. shortlist: how many of each side's best.
    """

    score_NV: Tensor
    num_fused: int
    shortlist: int

    def describe(self) -> str:
        """What a report says beside such ranks."""
        num = self.score_NV.numel()
        if self.num_fused == num:
            return f"all {num} pairs ranked by fusion"
        return (
            f"two stages: the {self.shortlist} best by embeddings of every text and of every "
            f"video ranked by fusion ({self.num_fused} of {num} pairs), the rest by embeddings"
        )


def mean_of_clips(tokens_VCLD: Tensor) -> Tensor:
    """A video of several clips is the mean of their visual tokens, before fusion; [V,L,D]."""
    return tokens_VCLD.mean(1)


@torch.no_grad()
def rank_by_fusion(
    model: Violet,
    tokens_VLD: Tensor,
    ids_NS: Tensor,
    mask_NS: Tensor,
    *,
    shortlist: int = 64,
    pairs_per_pass: int = 64,
) -> FusedRanking:
    """Score every text with every video; the model's form is `pair`, and it is in evaluation mode.

    Raises:
        InputError: shortlist is below 1, or the model does not score pairs.
    """
    assert not model.training, "dropout would draw other scores every time"
    if shortlist < 1:
        raise InputError(f"shortlist is {shortlist}; it must be at least 1")
    if model.config.form != "pair":
        raise InputError(f"form is {model.config.form!r}; retrieval by fusion needs 'pair'")
    cosine_NV = model.embed_text(ids_NS, mask_NS) @ model.embed_seen(tokens_VLD).T
    listed = _best(cosine_NV, shortlist) | _best(cosine_NV.T, shortlist).T
    text, video = listed.nonzero(as_tuple=True)
    scores = [
        model.pair_scores(tokens_VLD[v], ids_NS[t], mask_NS[t])
        for t, v in zip(text.split(pairs_per_pass), video.split(pairs_per_pass), strict=True)
    ]
    score_NV = cosine_NV.double() - BEHIND
    score_NV[text, video] = _squashed(torch.cat(scores).double())
    return FusedRanking(score_NV=score_NV, num_fused=len(text), shortlist=shortlist)


def _best(score: Tensor, num: int) -> Tensor:
    """bool, the largest `num` of each row."""
    found = score.topk(min(num, score.shape[1]), dim=1).indices
    return torch.zeros_like(score, dtype=torch.bool).scatter(1, found, True)


def _squashed(score: Tensor) -> Tensor:
    """(−1, 1), in the same order, without ties for what float32 tells apart."""
    if score.isnan().any():
        raise InputError("a fused score is not a number: the model's weights are not either")
    scale = 1 + score.abs().max()
    return score / scale
