"""The meta step: how the weight net's parameters θ change the loss on the meta set.

With ω(θ) the weights at the detached loss_B(w), the virtual step and its exact derivative are

    G = Σ_i ω_i(θ) ∇L_i(w),   w' = w − α U(G),   g = ∇ L_meta(w')
    dL_meta/dθ = −α Σ_i (∂ω_i/∂θ) s_i,           s_i = ⟨∇L_i(w), u⟩,   u = U'(G)ᵀ g

and the B inner products s are one forward-mode JVP of loss_B at w along u: no second-order graph
(arXiv 2407.03788 unrolls it). U is the optimizer's own update map, clipping and moments included
(`objective/update.py`), so w' is where the model would be after a real step; for SGD, u = g.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mama_train.data.batch import Batch
from mama_train.objective.objective import Encoded, Objective
from mama_train.objective.passes import Named
from mama_train.objective.update import AdamWUpdate
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


@dataclass(frozen=True, kw_only=True)
class VirtualStep:
    """The step that the meta loss is taken after.

    lr: α, its length. update: the optimizer's next step, or None for SGD.
    names: parameters that take it; None means all. With fewer, the meta gradient is exact for a
        virtual step of those alone.
    """

    lr: float
    update: AdamWUpdate | None = None
    names: Sequence[str] | None = None

    def taken(self, parameters: Named, gradient: Named) -> Named:
        """w', of the parameters that take the step."""
        names = parameters if self.names is None else self.names
        if self.update is not None:
            return self.update.stepped(gradient, names)
        return {n: parameters[n].detach() - self.lr * gradient[n] for n in names}

    def pull_back(self, gradient: Named, direction: Named) -> None:
        """Turn g, the gradient after the step, into u, in place."""
        if self.update is not None:
            self.update.pull_back(gradient, direction, self.lr)


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
    virtual = step.taken(objective.parameters(), gradient)
    direction, meta_loss_B = objective.mean_gradient_at(virtual, meta_batch)
    del virtual
    step.pull_back(gradient, direction)
    kept = gradient if keep_gradient else None
    del gradient  # as large as the model; mostly nobody will read it
    s_B = objective.loss_jvp(encoded, direction).to(weight_B.dtype)
    surrogate = -step.lr * (weight_B * s_B).sum()
    return MetaOutcome(
        theta_gradient=list(torch.autograd.grad(surrogate, weigh.theta())),
        gradient=kept,
        s_B=s_B,
        weight_B=weight_B.detach(),
        meta_loss=float(meta_loss_B.mean()),
    )


def adamw_step(
    optimizer: torch.optim.Optimizer,
    named: Named,
    *,
    clip_norm: float | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> AdamWUpdate:
    """The step that AdamW takes next; see `AdamWUpdate`."""
    return AdamWUpdate(optimizer=optimizer, named=named, clip_norm=clip_norm, bounds=bounds or {})
