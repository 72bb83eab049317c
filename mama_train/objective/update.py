"""The update that the optimizer is about to make, and its exact vector-Jacobian product.

With G the gradient, per parameter, and t the number of the step about to be taken,

    n = ‖G‖ (over all parameters),  c = min(1, C / (n + 1e-6)),  g = c G            clipping
    m' = β₁ m + (1 − β₁) g,  m̂ = m' / (1 − β₁ᵗ)
    v' = β₂ v + (1 − β₂) g²,  r = √(v' / (1 − β₂ᵗ))
    U(G) = m̂ / (r + ε),  w' = (1 − α δ) w − α U(G)                                  AdamW

as torch does both (`clip_grad_norm_`, `AdamW`). U acts element by element but for c, so that

    D = ∂U/∂g = a / (r + ε) − m̂ b g / (r (r + ε)²),  a = (1 − β₁)/(1 − β₁ᵗ),  b = (1 − β₂)/(1 − β₂ᵗ)
      = (a ε + (a β₂/(1 − β₂ᵗ) v − b β₁/(1 − β₁ᵗ) m g) / r) / (r + ε)²
    U'(G)ᵀ h = c D h − [c < 1] (c / (n (n + 1e-6))) ⟨G, D h⟩ G

The second form of D is used: in the first one, two terms of nearly the same size cancel early on
(all but a ε / (r + ε)² in the first step). Where g = v = 0, r = 0 and the quotient by r is 0/0; m
decays faster than √v, so that its limit is 0 and D → a/ε. (Autograd gives NaN.) The moments are
those *after* the step: with v as it was, D has no bound for a parameter that has not been seen for
long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Named = dict[str, Tensor]
CLIP_EPS = 1e-6
"""What `clip_grad_norm_` adds to the norm."""


@dataclass(frozen=True, kw_only=True)
class AdamWUpdate:
    """AdamW's next step with clipping before it.

    named: the optimizer's parameters by name. clip_norm: C, or None not to clip. bounds: between
    which values a parameter is put after the step.
    Tensors are made one parameter at a time: all at once would be more models in memory.
    """

    optimizer: torch.optim.Optimizer
    named: Mapping[str, Tensor]
    clip_norm: float | None = None
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def stepped(self, gradient: Named, names: Iterable[str]) -> Named:
        """w' of some parameters; `gradient` is that of all, whose norm may be clipped."""
        scale = self._scale(gradient)[0]
        groups = self._groups()
        return {name: self._stepped(name, gradient[name], scale, groups[name]) for name in names}

    @torch.no_grad()
    def pull_back(self, gradient: Named, direction: Named, lr: float) -> None:
        """Turn h, given for the parameters that take the step, into U'(G)ᵀ h, in place, per unit
        of `lr`. The gradient of the others counts in the norm as a constant."""
        scale, norm = self._scale(gradient)
        groups = self._groups()
        for name, h in direction.items():
            self._pull_back(name, gradient[name], scale, groups[name], h)
            h.mul_(groups[name]["lr"] / lr)
        if scale == 1.0:
            return
        dots = [torch.dot(gradient[n].flatten(), h.flatten()) for n, h in direction.items()]
        along = float(torch.stack(dots).sum())
        for name, h in direction.items():
            h.mul_(scale).sub_(gradient[name], alpha=scale * along / (norm * (norm + CLIP_EPS)))

    def _groups(self) -> dict[str, dict[str, Any]]:
        name_of = {id(p): name for name, p in self.named.items()}
        groups = self.optimizer.param_groups
        return {name_of[id(p)]: group for group in groups for p in group["params"]}

    def _scale(self, gradient: Named) -> tuple[float, float]:
        """(c, n)."""
        if self.clip_norm is None:
            return 1.0, 0.0
        norm = float(nn.utils.get_total_norm(list(gradient.values())))
        return min(1.0, self.clip_norm / (norm + CLIP_EPS)), norm

    def _corrections(self, name: str, group: dict[str, Any]) -> tuple[float, float]:
        """1 − β₁ᵗ and 1 − β₂ᵗ of the step to come."""
        state = self.optimizer.state.get(self.named[name])
        step = 1 + (float(state["step"]) if state else 0.0)
        return 1 - group["betas"][0] ** step, 1 - group["betas"][1] ** step

    def _root(self, name: str, g: Tensor, group: dict[str, Any]) -> Tensor:
        """r; `g` is clipped."""
        state, beta2 = self.optimizer.state.get(self.named[name]), group["betas"][1]
        bias2 = self._corrections(name, group)[1]
        if not state:
            return g.abs() * ((1 - beta2) / bias2) ** 0.5
        square = torch.mul(state["exp_avg_sq"], beta2 / bias2)
        return square.addcmul_(g, g, value=(1 - beta2) / bias2).sqrt_()

    @torch.no_grad()
    def _stepped(self, name: str, gradient: Tensor, scale: float, group: dict[str, Any]) -> Tensor:
        g = gradient * scale
        moved = self._unbounded(name, g, group)
        return moved.clamp_(*self.bounds[name]) if name in self.bounds else moved

    def _unbounded(self, name: str, g: Tensor, group: dict[str, Any]) -> Tensor:
        state, beta1 = self.optimizer.state.get(self.named[name]), group["betas"][0]
        denominator = self._root(name, g, group).add_(group["eps"])
        mean = g * (1 - beta1)
        if state:
            mean.add_(state["exp_avg"], alpha=beta1)
        decayed = self.named[name].detach() * (1 - group["lr"] * group["weight_decay"])
        size = group["lr"] / self._corrections(name, group)[0]
        return decayed.addcdiv_(mean, denominator, value=-size)

    def _pull_back(
        self, name: str, gradient: Tensor, scale: float, group: dict[str, Any], h: Tensor
    ) -> None:
        """h becomes D h."""
        state = self.optimizer.state.get(self.named[name])
        (beta1, beta2), eps = group["betas"], group["eps"]
        bias1, bias2 = self._corrections(name, group)
        a, b = (1 - beta1) / bias1, (1 - beta2) / bias2
        g = gradient * scale
        root = self._root(name, g, group)
        if state:
            above = torch.mul(state["exp_avg_sq"], a * beta2 / bias2)
            above.addcmul_(state["exp_avg"], g, value=-b * beta1 / bias1)
            above.div_(root).masked_fill_(root == 0, 0.0).add_(a * eps)
            h.mul_(above)
        else:
            h.mul_(a * eps)
        root.add_(eps)
        h.div_(root).div_(root)
        if name in self.bounds:
            low, high = self.bounds[name]
            moved = self._unbounded(name, g, group)
            h.masked_fill_((moved < low) | (moved > high), 0.0)
