"""Sample weights: the weight net V and the fixed baselines, all functions of the detached loss.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mama_train.objective.config import LEARNED, Weighting


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
        """loss_B [B] to V [B]."""
        return torch.sigmoid(self.out(torch.relu(self.hidden(loss_B[:, None]))))[:, 0]


@dataclass(frozen=True, kw_only=True)
class Weigher:
    """loss_B -> ω_B for one batch.

    net: V, which the learned kinds need; ω is differentiable in its parameters.
    frequency_B: captions in training that share the sample's rarest concept (inverse-frequency;
        NaN where a sample has no concept).
    progress: share of the training done, 0 to 1 (self-paced).
    """

    weighting: Weighting
    net: WeightNet | None = None
    frequency_B: Tensor | None = None
    progress: float = 1.0

    def theta(self) -> list[Tensor]:
        """The parameters of V."""
        assert self.net is not None
        return list(self.net.parameters())

    def __call__(self, loss_B: Tensor) -> Tensor:
        """ω_B, with Σ ω = 1 (normalised) or ω = raw / B. The loss is detached here, whatever is
        passed: V's input carries no gradient."""
        raw_B = self._raw_B(loss_B.detach())
        return normalise(raw_B) if self.weighting.normalised else raw_B / len(raw_B)

    def _raw_B(self, loss_B: Tensor) -> Tensor:
        kind, pace = self.weighting.kind, self.weighting.pace
        if kind in LEARNED:
            assert self.net is not None
            return self.net(loss_B.to(self.theta()[0].dtype))
        if kind == "focal":
            return (1 - torch.exp(-loss_B)).clamp_min(0) ** self.weighting.gamma
        if kind == "self-paced":
            return self_paced_B(loss_B, share=pace + (1 - pace) * self.progress)
        if kind == "inverse-frequency":
            assert self.frequency_B is not None
            return inverse_frequency_B(self.frequency_B).to(loss_B.dtype)
        return torch.ones_like(loss_B)


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
