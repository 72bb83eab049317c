"""Signs that a run went wrong in one of the ways the paper warns of (arXiv 2407.03788)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mama_train.run.history import Row

LEAST_STEPS = 40
"""Shorter runs say nothing about plateaus."""


def warning_signs(rows: Sequence[Row], metrics: dict[str, Any], *, learned: bool) -> list[str]:
    """Sentences for people, each naming what was seen and what to try."""
    steps = [r for r in rows if r["kind"] == "step"]
    evals = [r for r in rows if r["kind"] == "eval"]
    found = [early_plateau(steps, evals)]
    if learned:
        found += [collapsed(steps), dominated(steps), unstable(steps)]
    split = metrics.get("test") or metrics.get("val") or {}
    found.append(imbalance(split.get("by_frequency", {})))
    return [sign for sign in found if sign]


def early_plateau(steps: Sequence[Row], evals: Sequence[Row]) -> str | None:
    """Margin too large: close pairs stop pulling early, and retrieval stops improving."""
    if len(steps) < LEAST_STEPS or len(evals) < 4:
        return None
    losses = np.array([r["loss"] for r in steps])
    quarter = len(losses) // 4
    second, last = losses[quarter : 2 * quarter].mean(), losses[-quarter:].mean()
    recall = [r["text_to_video"]["R@1"] for r in evals]
    half = len(recall) // 2
    if last > 0.95 * second and max(recall[half:]) <= max(recall[:half]) < 95:
        return (
            f"Early plateau: the loss went from {second:.3f} to {last:.3f} only and validation R@1 "
            "did not improve in the second half. The margin may be too large (try half of it), or "
            "the learning rate too low."
        )
    return None


def collapsed(steps: Sequence[Row]) -> str | None:
    """V gives every sample the same weight, or (raw weights) almost none."""
    last = steps[-max(1, len(steps) // 10) :]
    spread = max(r["weight_max"] - r["weight_min"] for r in last)
    highest = max(r["weight_max"] for r in last)
    if highest < 0.02:
        return (
            f"Collapsed weights: the largest raw weight is {highest:.4f}, so training has nearly "
            "stopped. Use normalised weights."
        )
    if spread < 0.01:
        return (
            f"Flat weights: they differ by at most {spread:.4f} (1 = average), so the weight net "
            "has learned nothing yet. Train longer, raise weight_lr, or check the meta split."
        )
    return None


def dominated(steps: Sequence[Row]) -> str | None:
    """A few samples take most of the weight: the effective batch is small."""
    shares = []
    for row in steps[-max(1, len(steps) // 10) :]:
        weights = np.array([w for _, w in row["points"]])
        total = (weights**2).sum() * len(weights)
        shares.append(weights.sum() ** 2 / total if total > 0 else 1.0)
    share = float(np.mean(shares))
    if share < 0.3:
        return (
            f"Dominated batches: weights leave an effective batch of {100 * share:.0f} % of the "
            "real one. Lower weight_lr or use a larger meta batch."
        )
    return None


def unstable(steps: Sequence[Row]) -> str | None:
    """V's gradient explodes late in training."""
    norms = np.array([r["meta_norm"] for r in steps if r.get("meta_norm") is not None])
    if len(norms) < LEAST_STEPS // 4:
        return None
    late = norms[-len(norms) // 4 :]
    if late.max() > 30 * max(float(np.median(norms)), 1e-12):
        return (
            f"Unstable weight net: its gradient reached {late.max():.2g} late in training, the "
            f"median is {np.median(norms):.2g}. Lower weight_lr or use a larger meta batch."
        )
    return None


def imbalance(by_frequency: dict[str, Row]) -> str | None:
    """Rare concepts stay far behind frequent ones."""
    head, tail = by_frequency.get("head"), by_frequency.get("tail")
    if not head or not tail or tail["R@1"] >= 0.5 * head["R@1"]:
        return None
    return (
        f"Imbalance persists: R@1 is {tail['R@1']:.1f} % on rare concepts and {head['R@1']:.1f} % "
        "on frequent ones. Balance with a larger caption budget, or use weights "
        "inverse-frequency."
    )
