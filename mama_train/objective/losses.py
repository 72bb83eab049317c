"""The angular-margin contrastive loss, per sample (arXiv 2407.03788), and that of answers.

Shapes: B samples of the global batch, D embedding dimensions. Everything is computed in fp32 (or
fp64 when the embeddings are fp64), whatever autocast did before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mama_train.data.batch import Asked
from mama_train.objective.config import MarginLoss

COSINE_LIMIT = 1 - 1e-6
"""|x| is clamped to this before √(1 − x²), whose slope is infinite at 1."""


def contrastive_loss_B(
    video_BD: Tensor,
    text_BD: Tensor,
    log_scale: Tensor,
    loss: MarginLoss,
    *,
    margin_B: Tensor | None = None,
    same_BB: Tensor | None = None,
) -> Tensor:
    """Mean of the video-to-text and text-to-video cross-entropy of each sample.

    With λ_ij = arccos(v_i · t_j), the positive logit is cos([λ_ii − μ]₊), the negatives are
    cos λ_ij, and all are multiplied by exp(log_scale).

    Args:
        video_BD, text_BD: unit vectors, any float dtype; row i of both is a positive pair.
        log_scale: scalar, logarithm of the inverse temperature.
        loss: which margin the positive pairs get.
        margin_B: a margin per sample, in place of the μ of `loss` (`margins.py` has the rules).
        same_BB: true where i and j are the same clip or have the same text; such pairs are not
            negatives of each other. The diagonal is ignored.
    """
    precise = torch.promote_types(video_BD.dtype, torch.float32)
    x_BB = video_BD.to(precise) @ text_BD.to(precise).T
    if margin_B is None:
        margin_B = full_margin(loss, log_scale.to(precise))
    positive_B = margin_cosine(torch.diagonal(x_BB), loss, margin_B)
    eye_BB = torch.eye(len(x_BB), dtype=torch.bool, device=x_BB.device)
    logits_BB = log_scale.to(precise).exp() * torch.where(eye_BB, positive_B[:, None], x_BB)
    if same_BB is not None:
        logits_BB = logits_BB.masked_fill(same_BB & ~eye_BB, -torch.inf)
    positive_logit_B = torch.diagonal(logits_BB)
    video_to_text_B = torch.logsumexp(logits_BB, dim=1) - positive_logit_B
    text_to_video_B = torch.logsumexp(logits_BB, dim=0) - positive_logit_B
    return (video_to_text_B + text_to_video_B) / 2


def answer_loss_b(logits_bK: Tensor, asked: Asked) -> Tensor:
    """ℓ^qa of each row, cross-entropy over the classes or over the options that count.

    Args:
        logits_bK: any float dtype; what does not count may be anything.
    """
    logits_bK = logits_bK.to(torch.promote_types(logits_bK.dtype, torch.float32))
    right_b = logits_bK.gather(1, asked.answer_b[:, None])[:, 0]
    if asked.counts_bK is not None:
        logits_bK = logits_bK.masked_fill(~asked.counts_bK, -torch.inf)
    return torch.logsumexp(logits_bK, dim=1) - right_b


def margin_cosine(x: Tensor, loss: MarginLoss, margin: Tensor | None = None) -> Tensor:
    """The positive pair's cosine after the margin, for any shape of x = cos λ.

    subtractive: cos(λ − μ) = x cos μ + √(1 − x²) sin μ. For λ < μ, `clamp` gives 1 (no pull left),
    `reflect` keeps cos(λ − μ), whose gradient pushes such a pair back towards λ = μ.
    additive: cos(λ + μ), continued by x − μ sin μ beyond λ = π − μ so that it stays monotone
    (ArcFace). cosine: x − μ (CosFace). Finite, with finite gradient, at λ = 0 and λ = π.
    In the region `acute`, pairs with λ > π/2 keep x: the value has a step there, of sin μ.

    Args:
        x: cosines in [−1, 1], any shape.
        loss: kind of margin, μ, and what happens below it.
        margin: μ of each element (x's shape, or one that broadcasts to it) in place of the loss's.
    """
    if loss.kind == "none":
        return x
    moved = _moved(x, loss, margin)
    return moved if loss.region == "all" else torch.where(x >= 0, moved, x)


def _moved(x: Tensor, loss: MarginLoss, margin: Tensor | None) -> Tensor:
    given = loss.margin if margin is None else margin
    assert given is not None, "a margin in nats depends on the scale: give full_margin(loss, scale)"
    mu = torch.as_tensor(given, dtype=x.dtype, device=x.device)
    if loss.kind == "cosine":
        return x - mu
    x_safe = x.clamp(-COSINE_LIMIT, COSINE_LIMIT)
    sine = torch.sqrt(1 - x_safe * x_safe)
    if loss.kind == "additive":
        shifted = x_safe * mu.cos() - sine * mu.sin()
        return torch.where(x > -mu.cos(), shifted, x - mu * mu.sin())
    shifted = x_safe * mu.cos() + sine * mu.sin()
    if loss.below == "reflect":
        return shifted
    return torch.where(x >= mu.cos(), torch.ones_like(x), shifted)


def full_margin(loss: MarginLoss, log_scale: Tensor) -> Tensor:
    """μ of `loss` at an inverse temperature, a constant for every derivative.

    In nats, it is the μ for which σ |cos(1 − μ) − cos 1| (subtractive), σ |cos(1 + μ) − cos 1|
    (additive) or σ μ (cosine) is that many; as near as an angle can come where σ is too small.
    """
    if loss.margin is not None:
        return torch.tensor(loss.margin, dtype=log_scale.dtype, device=log_scale.device)
    start = loss.nats / log_scale.detach().exp()
    if loss.kind == "cosine":
        return start
    sign = -1.0 if loss.kind == "additive" else 1.0
    angle = torch.arccos((math.cos(1.0) + sign * start).clamp(-1, 1))
    return sign * (1 - angle)


def same_pairs_BB(clip_key_B: Tensor, text_key_B: Tensor) -> Tensor:
    """True where two samples are the same clip or have the same text; keys are int64 hashes."""
    same_clip_BB = clip_key_B[:, None] == clip_key_B[None, :]
    return same_clip_BB | (text_key_B[:, None] == text_key_B[None, :])
