"""Is the weight net V alive? What each step records of it, and what a run's records say.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mama_train.objective.weighting import WeightNet

Row = dict[str, Any]
Floats = NDArray[np.float64]
State = Literal["alive", "has not learned yet", "saturated", "collapsed"]

LOSS_GRID: Floats = np.array([*np.arange(0, 10, 0.5), *range(10, 40, 2), 40, 60, 80, 120, 160, 200])
"""The losses (nats) at which V is recorded; no loss at an inverse temperature of 100 is higher."""
DEAD_RATIO = 1.05
"""Weights that differ by less than this are equal weights."""
COLLAPSED_SHARE = 0.10
"""With a smaller effective sample, as a share of the batch, a few samples are the whole batch."""
SATURATED_SHARE = 0.9
"""Share of samples with a saturated V from which V is."""


@dataclass(frozen=True, kw_only=True)
class NetHealth:
    """V over the last tenth of a run.

    dead: weights between the 5th and the 95th percentile of the losses differ by less than
        DEAD_RATIO; `state` says why (it has not learned yet, or is saturated).
    weight_ratio: the largest over the smallest weight there, in the record where they differ most.
    effective_share: 1 / Σω² as a share of the batch, mean. saturated_share: of samples.
    logit_min, logit_max: V's logits over the losses that were seen.
    wrong_ratio: the mean weight of pairs whose caption is of another clip over that of right ones,
        where a made world's shards tell which these are; else None.
    """

    state: State
    dead: bool
    weight_ratio: float
    effective_share: float
    saturated_share: float
    logit_min: float
    logit_max: float
    wrong_ratio: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def effective_share(weight_B: Tensor) -> float:
    """(Σω)² / (B Σω²): 1 for equal weights, 1/B where one sample has it all; of 0 weights, 1."""
    total, squares = float(weight_B.sum()), float((weight_B * weight_B).sum())
    return total * total / (len(weight_B) * squares) if squares > 0 else 1.0


@torch.no_grad()
def net_row(net: WeightNet, loss_B: Tensor, *, with_curve: bool) -> Row:
    """What a step records of V at the losses of its batch; with the curve, also log V at
    LOSS_GRID."""
    loss_B = loss_B.to(net.out.weight.dtype)
    logit_B = net.logit(loss_B)
    row: Row = {
        "logit_min": float(logit_B.min()),
        "logit_max": float(logit_B.max()),
        "saturated_share": float(net.saturated(loss_B).float().mean()),
    }
    if with_curve:
        grid = torch.as_tensor(LOSS_GRID, dtype=loss_B.dtype, device=loss_B.device)
        row["curve"] = [round(x, 4) for x in net.log_weight(grid).tolist()]
    return row


def truth_row(weight_B: Tensor, aligned_B: Tensor | None) -> Row:
    """What a step records where it is known which captions are of their clips: the mean weight
    (1 = average) of those that are and of those that are not; nothing where one kind is missing."""
    if aligned_B is None or bool(aligned_B.all()) or not bool(aligned_B.any()):
        return {}
    scaled_B = weight_B * len(weight_B)
    return {
        "right_weight": float(scaled_B[aligned_B].mean()),
        "wrong_weight": float(scaled_B[~aligned_B].mean()),
    }


def wrong_ratio(steps: Sequence[Row]) -> float | None:
    """The mean weight of wrong pairs over that of right ones in some rows; None where no row
    knows, or right ones weigh nothing."""
    told = [row for row in steps if "wrong_weight" in row]
    right = sum(row["right_weight"] for row in told)
    return sum(row["wrong_weight"] for row in told) / right if right > 0 else None


def curve_every(num_steps: int) -> int:
    """Steps from one record of V's curve to the next: about 40 in a run."""
    return max(1, num_steps // 40)


def last_tenth(steps: Sequence[Row]) -> Sequence[Row]:
    """The rows of the last tenth of the steps, at least one."""
    return steps[-max(1, len(steps) // 10) :]


def net_health(steps: Sequence[Row]) -> NetHealth | None:
    """What the step rows of a run say of V; None where they hold no curve of it."""
    recent = last_tenth(steps)
    curves = [row["curve"] for row in recent if "curve" in row]
    if not curves:
        curves = [row["curve"] for row in steps if "curve" in row][-1:]
    if not curves:
        return None
    between = usual_losses(recent)
    ratio = max(weight_ratio(np.array(curve), between) for curve in curves)
    share = float(np.mean([row["effective_share"] for row in recent]))
    saturated = float(np.mean([row["saturated_share"] for row in recent]))
    dead = ratio < DEAD_RATIO
    state: State = "alive"
    if dead:
        state = "saturated" if saturated >= SATURATED_SHARE else "has not learned yet"
    elif share < COLLAPSED_SHARE:
        state = "collapsed"
    return NetHealth(
        state=state,
        dead=dead,
        weight_ratio=ratio,
        effective_share=share,
        saturated_share=saturated,
        logit_min=min(row["logit_min"] for row in recent),
        logit_max=max(row["logit_max"] for row in recent),
        wrong_ratio=wrong_ratio(recent),
    )


def usual_losses(steps: Sequence[Row]) -> tuple[float, float]:
    """The 5th and the 95th percentile of the samples' losses in some rows."""
    losses = np.array([loss for row in steps for loss, _ in row["points"]], np.float64)
    low, high = np.quantile(losses, [0.05, 0.95])
    return float(low), float(high)


def log_weights(curve: Floats, losses: Floats) -> Floats:
    """log V at some losses, from its record at LOSS_GRID."""
    return np.interp(losses, LOSS_GRID, curve)


def weight_ratio(curve: Floats, between: tuple[float, float]) -> float:
    """The largest over the smallest weight between two losses. Of a V that only rises or only
    falls, these are the weights at both ends; a V that rises and falls is not flat either."""
    values = log_weights(curve, np.linspace(*between, 200))
    return float(np.exp(min(float(values.max() - values.min()), 50.0)))


def shape_of(curve: Floats, between: tuple[float, float]) -> tuple[str, float]:
    """(flat, rises, falls, `rises, then falls` or `falls, then rises`; the loss of the largest
    weight), between two losses."""
    at = np.linspace(*between, 200)
    values = log_weights(curve, at)
    step = np.log(DEAD_RATIO)
    peak, dip = int(values.argmax()), int(values.argmin())
    up, down = values[peak] - values[0], values[peak] - values[-1]
    if up < step and down < step:
        turns = values[0] - values[dip] >= step
        return ("falls, then rises" if turns else "flat"), float(at[peak])
    if up >= step and down >= step:
        return "rises, then falls", float(at[peak])
    return ("rises" if up >= step else "falls"), float(at[peak])
