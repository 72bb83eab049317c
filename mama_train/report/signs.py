"""Signs that a run went wrong in one of the ways the paper warns of (arXiv 2407.03788)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mama_train.measure.headline import headline
from mama_train.objective.health import NetHealth, last_tenth, net_health
from mama_train.run.history import Row

LEAST_STEPS = 40
"""Shorter runs say nothing about plateaus."""
LOW_SHARE = 0.3
"""Effective sample, as a share of the batch, from which a person should know of it."""


def warning_signs(rows: Sequence[Row], metrics: dict[str, Any], *, learned: bool) -> list[str]:
    """Sentences for people, each naming what was seen and what to try."""
    steps = [r for r in rows if r["kind"] == "step"]
    evals = [r for r in rows if r["kind"] == "eval" and r["step"] > 0]
    found = [early_plateau(steps, evals)]
    if learned and steps:
        health = net_health(steps)
        found += [vanished(steps), unstable(steps)]
        found.append(None if health is None else unhealthy(health))
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
    recall = [headline(r).of(r) for r in evals]
    half = len(recall) // 2
    if last > 0.95 * second and max(recall[half:]) <= max(recall[:half]) < 95:
        return (
            f"Early plateau: the loss went from {second:.3f} to {last:.3f} only and validation "
            f"{headline(evals[0]).title} did not improve in the second half. The margin may be too "
            "large (try half of it), or the learning rate too low."
        )
    return None


def vanished(steps: Sequence[Row]) -> str | None:
    """Raw weights: V gives every sample almost none."""
    highest = max(row["weight_max"] for row in last_tenth(steps))
    if highest >= 0.02:
        return None
    return (
        f"Vanished weights: the largest raw weight is {highest:.4f}, so training has nearly "
        "stopped. Use normalised weights."
    )


def unhealthy(health: NetHealth) -> str | None:
    """V gives all samples the same weight, for one reason or another, or a few samples all."""
    flat = f"weights differ by {100 * (health.weight_ratio - 1):.1f} % at most"
    if health.state == "has not learned yet":
        return (
            f"Flat weights: {flat}, and the weight net has learned nothing yet, although it can: "
            "its gradient is small, not blocked. Train longer, take meta steps more often "
            "(meta_every), raise weight_lr, or check that the meta split is cleaner than train."
        )
    if health.state == "saturated":
        return (
            f"Dead weight net: {flat}, because it is saturated on "
            f"{100 * health.saturated_share:.0f} % of the samples (logits from "
            f"{health.logit_min:.1f} to {health.logit_max:.1f}), where its gradient is 0. These "
            "are equal weights, and training longer does not change that. Use weight_output exp, "
            "lower weight_lr, or give weight_net_decay."
        )
    share = f"{100 * health.effective_share:.0f} %"
    if health.state == "collapsed":
        return (
            f"Collapsed weights: the effective sample is {share} of the batch, so that a few "
            "samples decide every step. Lower weight_lr, give weight_net_decay, or use a larger "
            "meta batch."
        )
    if health.effective_share < LOW_SHARE:
        return (
            f"Dominated batches: weights leave an effective batch of {share} of the real one. "
            "Lower weight_lr or use a larger meta batch."
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
