"""The margin of each sample: the rules by which a run makes one out of μ.

With μ the full margin of the run, w its warm-up, λ_i the angle of pair i:

    fixed:      μ_i = w μ
    agreement:  μ_i = w μ · 2 (1 − F(a_i)),        a_i the agreement of caption and clip
    running:    μ_i = w μ · min(2, λ_i / λ̄),       λ̄ the running mean of the angles

F(a) is the share of the training captions that agree less, equal ones counted half, and 1/2 for a
caption without a score. So the mean margin over the captions is μ, the best pair has none and the
worst twice as much: a margin is there for pairs whose text says something else, or not all of what
is seen. These rules are this project's own. Margins are constants for every derivative.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mama_train.objective.config import MarginLoss
from mama_train.objective.losses import COSINE_LIMIT, full_margin

MOST = 2.0
"""The largest margin of a sample, as a multiple of μ."""
MEMORY = 0.99
"""Decay of the running mean of angles, per step."""


@dataclass(frozen=True)
class MarginNow:
    """What the rules know at a step. share: of the full margin (the warm-up). running_angle: λ̄ in
    radians, or None before the first step."""

    share: float = 1.0
    running_angle: float | None = None


def share_at(step: int, num_steps: int, loss: MarginLoss) -> float:
    """How much of the margin there is in a step, counted from 0: linearly up to all of it."""
    num_warmup = loss.warmup * num_steps
    return 1.0 if step >= num_warmup else step / num_warmup


def angles_B(video_BD: Tensor, text_BD: Tensor) -> Tensor:
    """λ of each positive pair, in radians, fp32 or better, without gradient."""
    precise = torch.promote_types(video_BD.dtype, torch.float32)
    x_B = (video_BD.detach().to(precise) * text_BD.detach().to(precise)).sum(1)
    return torch.arccos(x_B.clamp(-COSINE_LIMIT, COSINE_LIMIT))


def margins_B(
    loss: MarginLoss,
    now: MarginNow,
    angle_B: Tensor,
    log_scale: Tensor,
    agreement_B: Tensor | None,
) -> Tensor:
    """μ_i of each sample. `agreement_B`: F(a_i), NaN where a caption has no score."""
    full = full_margin(loss, log_scale.detach().to(angle_B.dtype)) * now.share
    if loss.rule == "agreement":
        assert agreement_B is not None
        return full * MOST * (1 - agreement_B.to(angle_B).nan_to_num(0.5))
    if loss.rule == "running" and now.running_angle is not None:
        return full * (angle_B / now.running_angle).clamp_max(MOST)
    return full.expand_as(angle_B)


def next_running_angle(before: float | None, angle_B: Tensor) -> float:
    """λ̄ after a batch."""
    mean = float(angle_B.mean())
    return mean if before is None else MEMORY * before + (1 - MEMORY) * mean
