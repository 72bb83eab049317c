"""Sample weights: the weight net V and the fixed baselines, all functions of the detached loss.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError

WeightKind = Literal["mlp-meta", "mlp-joint", "focal", "self-paced", "inverse-frequency", "none"]
LEARNED: tuple[WeightKind, ...] = ("mlp-meta", "mlp-joint")


class WeightNet(nn.Module):
    """V: loss -> weight in (0, 1); 1 → hidden → 1 with ReLU and sigmoid (arXiv 2407.03788).

    The output layer starts at zero, so that training starts with equal weights.
    """

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, hidden)
        self.out = nn.Linear(hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, loss_B: Tensor) -> Tensor:
        return torch.sigmoid(self.out(torch.relu(self.hidden(loss_B[:, None]))))[:, 0]


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """How weights are made of losses.

    normalised: Σ ω = 1 over the global batch; else ω = V / B (raw), which lets all weights drift
    to zero together.
    gamma: focal exponent. pace: share of the batch that self-paced learning admits at the start;
    it grows linearly to all of it.
    """

    kind: WeightKind = "mlp-meta"
    normalised: bool = True
    gamma: float = 2.0
    pace: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(WeightKind):
            raise InputError(
                f"weights {self.kind!r} are unknown; allowed: {', '.join(get_args(WeightKind))}"
            )

    def weights_B(
        self,
        loss_B: Tensor,
        *,
        net: WeightNet | None = None,
        frequency_B: Tensor | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """ω_B, with Σ ω = 1 (normalised) or ω = raw / B.

        Args:
            loss_B: detached here, whatever is passed: V's input carries no gradient.
            net: V, for the learned kinds; ω is differentiable in its parameters.
            frequency_B: captions in training that share the sample's rarest concept
                (inverse-frequency; NaN where a sample has no concept).
            progress: share of the training done, 0 to 1 (self-paced).
        """
        loss_B = loss_B.detach()
        if self.kind in LEARNED:
            assert net is not None
            raw_B = net(loss_B.to(next(net.parameters()).dtype))
        elif self.kind == "focal":
            raw_B = (1 - torch.exp(-loss_B)).clamp_min(0) ** self.gamma
        elif self.kind == "self-paced":
            raw_B = self_paced_B(loss_B, share=self.pace + (1 - self.pace) * progress)
        elif self.kind == "inverse-frequency":
            assert frequency_B is not None
            raw_B = inverse_frequency_B(frequency_B).to(loss_B.dtype)
        else:
            raw_B = torch.ones_like(loss_B)
        return normalise(raw_B) if self.normalised else raw_B / len(raw_B)


def normalise(raw_B: Tensor) -> Tensor:
    """ω = raw / Σ raw; equal weights where everything is zero."""
    total = raw_B.sum()
    equal_B = torch.full_like(raw_B, 1 / len(raw_B))
    return torch.where(total > 0, raw_B / total.clamp_min(1e-12), equal_B)


def self_paced_B(loss_B: Tensor, *, share: float) -> Tensor:
    """Linear soft self-paced weights: 1 at loss 0, 0 from the `share` quantile of the batch on."""
    if share >= 1:
        return torch.ones_like(loss_B)
    threshold = torch.quantile(loss_B, share).clamp_min(1e-12)
    return (1 - loss_B / threshold).clamp_min(0)


def inverse_frequency_B(frequency_B: Tensor) -> Tensor:
    """1 / frequency; samples without a concept get the batch's median frequency."""
    median = frequency_B.nanmedian()
    filled_B = torch.where(frequency_B.isnan(), median, frequency_B).nan_to_num(1.0)
    return 1 / filled_B.clamp_min(1.0)
