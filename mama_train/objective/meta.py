"""The meta step: how the weight net's parameters θ change the loss on the meta set.

With ω(θ) the weights at the detached loss_B(w), the virtual step and its exact derivative are

    w' = w − α (D Σ_i ω_i(θ) ∇L_i(w) + d),   g = ∇ L_meta(w')
    dL_meta/dθ = −α Σ_i (∂ω_i/∂θ) s_i,       s_i = ⟨∇L_i(w), D g⟩

and the B inner products s are one forward-mode JVP of loss_B at w along D g: no second-order
graph (arXiv 2407.03788 unrolls it). For SGD, D = 1 and d = 0. For AdamW with its second moment
frozen, w' is the step it is about to take: D = (1 − β₁)/((1 − β₁ᵗ)(√v̂ + ε)), and d is what momentum
adds. Neither d nor decoupled weight decay depends on θ; the latter is left out of w'. So is the
clipping of the gradient's norm: where it acts, the virtual step is longer than the real one.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from mama_train.data.batch import Batch
from mama_train.objective.objective import Encoded, Named, Objective
from mama_train.objective.weighting import Weigher


@dataclass(frozen=True, kw_only=True)
class MetaOutcome:
    """dL_meta/dθ and what is worth logging of its making.

    theta_gradient: one tensor per parameter of the weight net.
    gradient: Σ ω_i(θ) ∇L_i(w), the training gradient at the weights before θ moves; None when it
        was not to be kept.
    s_B: how much raising each sample's weight lowers the meta loss, per unit of α.
    """

    theta_gradient: list[Tensor]
    gradient: Named | None
    s_B: Tensor
    weight_B: Tensor
    meta_loss: float


class Update(Protocol):
    """A step that is affine in the gradient, element by element: D · gradient + d."""

    def scale(self, name: str) -> Tensor:
        """D of a parameter, in the parameter's shape or one that broadcasts to it."""

    def drift(self, name: str) -> Tensor:
        """d of a parameter, likewise."""


@dataclass(frozen=True, kw_only=True)
class VirtualStep:
    """The step that the meta loss is taken after.

    lr: α, its length. update: D and d of the optimizer, or None for SGD.
    names: parameters that take it; None means all. With fewer, the meta gradient is exact for a
        virtual step of those alone.
    """

    lr: float
    update: Update | None = None
    names: Sequence[str] | None = None

    def along(self, name: str, gradient: Tensor) -> Tensor:
        """What is subtracted from a parameter, per unit of α."""
        if self.update is None:
            return gradient
        return self.update.scale(name) * gradient + self.update.drift(name)

    def pull_back(self, direction: Named) -> None:
        """Turn g, the gradient after the step, into D g, in place."""
        if self.update is not None:
            for name, value in direction.items():
                value.mul_(self.update.scale(name))


def meta_gradient(
    objective: Objective,
    encoded: Encoded,
    meta_batch: Batch,
    weigh: Weigher,
    step: VirtualStep,
    *,
    keep_gradient: bool = True,
) -> MetaOutcome:
    """The exact derivative of the meta loss after one virtual step, in the parameters of V.

    Args:
        encoded: the training batch, encoded at w.
        weigh: loss_B -> ω_B, differentiable in V.
        keep_gradient: also return the training gradient (for a lagged real step), and free the
            graph of `encoded`, which nobody needs then.
    """
    weight_B = weigh(encoded.loss_B.detach())
    gradient = objective.gradient(encoded, weight_B, last=keep_gradient)
    virtual = _stepped(objective.parameters(), gradient, step)
    kept = gradient if keep_gradient else None
    del gradient  # as large as the model; mostly nobody will read it
    direction, meta_loss_B = objective.mean_gradient_at(virtual, meta_batch)
    del virtual
    step.pull_back(direction)
    s_B = objective.loss_jvp(encoded, direction).to(weight_B.dtype)
    surrogate = -step.lr * (weight_B * s_B).sum()
    return MetaOutcome(
        theta_gradient=list(torch.autograd.grad(surrogate, weigh.theta())),
        gradient=kept,
        s_B=s_B,
        weight_B=weight_B.detach(),
        meta_loss=float(meta_loss_B.mean()),
    )


def _stepped(parameters: Named, gradient: Named, step: VirtualStep) -> Named:
    """w', of the parameters that take the step."""
    return {
        name: parameters[name].detach() - step.lr * step.along(name, gradient[name])
        for name in (parameters if step.names is None else step.names)
    }


class AdamWStep:
    """The step that AdamW takes next if its second moment stays as it is, without decay. Tensors
    are made when they are asked for: all of them at once would be two more models in memory."""

    def __init__(self, optimizer: torch.optim.Optimizer, named: Named) -> None:
        name_of = {id(p): name for name, p in named.items()}
        self._of = {
            name_of[id(p)]: (optimizer.state[p], group)
            for group in optimizer.param_groups
            for p in group["params"]
        }

    def scale(self, name: str) -> Tensor:
        state, group = self._of[name]
        return self._inverse_root(name) * ((1 - group["betas"][0]) / self._bias(state, group))

    def drift(self, name: str) -> Tensor:
        state, group = self._of[name]
        momentum = state["exp_avg"] * (group["betas"][0] / self._bias(state, group))
        return self._inverse_root(name) * momentum

    def _inverse_root(self, name: str) -> Tensor:
        state, group = self._of[name]
        correction = 1 - group["betas"][1] ** float(state["step"])
        return 1 / ((state["exp_avg_sq"] / correction).sqrt_().add_(group["eps"]))

    @staticmethod
    def _bias(state: dict[str, Tensor], group: dict[str, Any]) -> float:
        return 1 - group["betas"][0] ** (float(state["step"]) + 1)


def adamw_step(optimizer: torch.optim.Optimizer, named: Named) -> Update | None:
    """AdamW's next step; None (SGD) until every parameter has a state."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not all(optimizer.state.get(p) for p in parameters):
        return None
    return AdamWStep(optimizer, named)
