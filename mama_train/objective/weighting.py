"""Sample weights: the weight net V and the fixed baselines, all functions of the detached loss.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mama_train.objective.config import LEARNED, Weighting, WeightOutput

USUAL = Weighting()
SATURATED_LOGIT = 5.0
"""Beyond ± this a sigmoid's slope is below 0.7 %: V cannot be taught there any more."""


class WeightNet(nn.Module):
    """V: loss -> weight; 1 → hidden → 1 with ReLU, then exp or a sigmoid (arXiv 2407.03788).

    Weights that are normalised over the batch do not feel V's scale. So nothing keeps a sigmoid
    from growing to 1 for every loss, where its slope, and with it V's gradient, is 0. exp has no
    such end: the normalised weights are a softmax of V's logits.
    The output layer starts at zero, so that training starts with equal weights.
    """

    def __init__(self, hidden: int = USUAL.hidden, output: WeightOutput = USUAL.output) -> None:
        super().__init__()
        self.output = output
        self.hidden = nn.Linear(1, hidden)
        # A softmax does not feel a bias: Adam would walk it along rounding errors.
        self.out = nn.Linear(hidden, 1, bias=output == "sigmoid")
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def logit(self, loss_B: Tensor) -> Tensor:
        """loss_B [B] to what exp or the sigmoid is taken of [B]."""
        return self.out(torch.relu(self.hidden(loss_B[:, None])))[:, 0]

    def log_weight(self, loss_B: Tensor) -> Tensor:
        """loss_B [B] to log V [B], finite where V itself would overflow or be 0."""
        logit_B = self.logit(loss_B)
        return logit_B if self.output == "exp" else nn.functional.logsigmoid(logit_B)

    def forward(self, loss_B: Tensor) -> Tensor:
        """loss_B [B] to V [B]."""
        return self.log_weight(loss_B).exp()

    def saturated(self, loss_B: Tensor) -> Tensor:
        """bool [B]: where V's value cannot be taught: at the ends of the sigmoid, and wherever no
        hidden unit is on (all that is left is a bias, which normalised weights do not feel)."""
        is_off_B = (self.hidden(loss_B[:, None]) <= 0).all(dim=1)
        if self.output == "exp":
            return is_off_B
        return is_off_B | (self.logit(loss_B).abs() > SATURATED_LOGIT)


@dataclass(frozen=True, kw_only=True)
class Weigher:
    """loss_B -> ω_B for one batch.

    net: V, which the learned kinds need; ω is differentiable in its parameters.
    frequency_B: captions in training that share the sample's rarest concept (inverse-frequency;
        NaN where a sample has no concept).
    aligned_B: whether each caption is of its clip (oracle).
    progress: share of the training done, 0 to 1 (self-paced).
    """

    weighting: Weighting
    net: WeightNet | None = None
    frequency_B: Tensor | None = None
    aligned_B: Tensor | None = None
    progress: float = 1.0

    def theta(self) -> list[Tensor]:
        """The parameters of V."""
        assert self.net is not None
        return list(self.net.parameters())

    def __call__(self, loss_B: Tensor) -> Tensor:
        """ω_B, with Σ ω = 1 (normalised) or ω = raw / B. The loss is detached here, whatever is
        passed: V's input carries no gradient.

        Every process has the losses of the whole global batch, so that the softmax is over all of
        it without a collective.
        """
        loss_B = loss_B.detach()
        if self.weighting.kind in LEARNED:
            assert self.net is not None
            log_B = self.net.log_weight(loss_B.to(self.theta()[0].dtype))
            return log_B.softmax(0) if self.weighting.normalised else log_B.exp() / len(log_B)
        raw_B = self._raw_B(loss_B)
        return normalise(raw_B) if self.weighting.normalised else raw_B / len(raw_B)

    def _raw_B(self, loss_B: Tensor) -> Tensor:
        kind, pace = self.weighting.kind, self.weighting.pace
        if kind == "focal":
            return (1 - torch.exp(-loss_B)).clamp_min(0) ** self.weighting.gamma
        if kind == "self-paced":
            return self_paced_B(loss_B, share=pace + (1 - pace) * self.progress)
        if kind == "inverse-frequency":
            assert self.frequency_B is not None
            return inverse_frequency_B(self.frequency_B).to(loss_B.dtype)
        if kind == "oracle":
            assert self.aligned_B is not None
            return self.aligned_B.to(loss_B)
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
