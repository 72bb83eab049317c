"""The meta step: how the weight net's parameters θ change the loss on the meta set.

With ω(θ) the weights at the detached loss_B(w), the virtual step and its exact derivative are

    w' = w − α D Σ_i ω_i(θ) ∇L_i(w),        g = ∇ L_meta(w')
    dL_meta/dθ = −α Σ_i (∂ω_i/∂θ) s_i,       s_i = ⟨∇L_i(w), D g⟩

and the B inner products s are one forward-mode JVP of loss_B at w along D g: no second-order
graph (arXiv 2407.03788 unrolls it). D is one (SGD) or AdamW's frozen 1/(√v̂ + ε); decoupled weight
decay does not depend on θ and drops out.

Shapes: B samples of the global batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mama_train.batch import Batch
from mama_train.objective import Encoded, Named, Objective


@dataclass(frozen=True, kw_only=True)
class MetaOutcome:
    """dL_meta/dθ and what is worth logging of its making.

    theta_gradient: one tensor per parameter of the weight net.
    gradient: Σ ω_i(θ) ∇L_i(w), the training gradient at the weights before θ moves.
    s_B: how much raising each sample's weight lowers the meta loss, per unit of α.
    """

    theta_gradient: list[Tensor]
    gradient: Named
    s_B: Tensor
    weight_B: Tensor
    meta_loss: float


def meta_gradient(
    objective: Objective,
    encoded: Encoded,
    meta_batch: Batch,
    net: nn.Module,
    weigh: Callable[[Tensor], Tensor],
    *,
    lr: float,
    preconditioner: Named | None = None,
    names: Sequence[str] | None = None,
) -> MetaOutcome:
    """The exact derivative of the meta loss after one virtual step, in the parameters of `net`.

    Args:
        encoded: the training batch, encoded at w.
        weigh: loss_B -> ω_B, differentiable in `net`.
        lr: α, the virtual step's length.
        preconditioner: D by parameter name, or None for SGD.
        names: parameters that take the virtual step; None means all. With fewer, the result is
            exact for a virtual step of those alone.
    """
    weight_B = weigh(encoded.loss_B.detach())
    gradient = objective.gradient(encoded, weight_B)
    parameters = objective.parameters()
    stepped = list(parameters) if names is None else list(names)

    def precondition(name: str, value: Tensor) -> Tensor:
        return value if preconditioner is None else preconditioner[name] * value

    virtual = {n: parameters[n].detach() - lr * precondition(n, gradient[n]) for n in stepped}
    meta_grad, meta_loss_B = objective.mean_gradient_at(virtual, meta_batch)
    del virtual
    direction = {n: precondition(n, meta_grad[n]) for n in stepped}
    s_B = objective.loss_jvp(encoded.batch, direction)
    surrogate = -lr * (weight_B * s_B.to(weight_B.dtype)).sum()
    theta_gradient = torch.autograd.grad(surrogate, list(net.parameters()))
    return MetaOutcome(
        theta_gradient=list(theta_gradient),
        gradient=gradient,
        s_B=s_B,
        weight_B=weight_B.detach(),
        meta_loss=float(meta_loss_B.mean()),
    )


def adamw_preconditioner(optimizer: torch.optim.Optimizer, named: Named) -> Named | None:
    """AdamW's frozen 1/(√v̂ + ε) by parameter name; None until every parameter has a state."""
    inverse: Named = {}
    by_id = {id(p): n for n, p in named.items()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            if not state:
                return None
            step = float(state["step"])
            second = state["exp_avg_sq"] / (1 - group["betas"][1] ** step)
            inverse[by_id[id(parameter)]] = 1 / (second.sqrt() + group["eps"])
    return inverse
