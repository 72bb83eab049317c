"""The meta gradient by second-order autograd: slow and hungry, a reference for tests and timings.

It unrolls the virtual step with `create_graph=True`, as the paper (arXiv 2407.03788) describes,
through torch's own AdamW. One process, no chunks. Where an element's gradient is 0 and always was,
autograd through AdamW gives NaN (the slope of √ at 0): such elements are constants here, and
`objective/update.py` has the limit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from mama_train.data.batch import Batch
from mama_train.objective.meta import VirtualStep
from mama_train.objective.objective import SCALE, Objective
from mama_train.objective.passes import Named, exact_attention, of_pass
from mama_train.objective.weighting import Weigher


def unrolled_meta_gradient(
    objective: Objective,
    batch: Batch,
    meta_batch: Batch,
    weigh: Weigher,
    step: VirtualStep,
) -> tuple[list[Tensor], Named, Tensor]:
    """(dL_meta/dθ through the graph of the virtual step, Σ ω_i ∇L_i(w), loss_B with its graph).

    The graph is kept, so that the real step can go back through it again with other weights.
    """
    parameters = objective.parameters()

    def loss_B(at: Named, rows: Batch, *, is_meta: bool = False) -> Tensor:
        outputs = of_pass(functional_call(objective.model, at, rows.model_input()), rows)
        log_scale = at.get(SCALE, objective.model.logit_scale)
        return objective.loss_B(rows, outputs, log_scale, is_meta=is_meta)

    with exact_attention():
        train_loss_B = loss_B(parameters, batch)
        weight_B = weigh(train_loss_B.detach()).to(train_loss_B.dtype)
        grads = torch.autograd.grad(
            (weight_B * train_loss_B).sum(), list(parameters.values()), create_graph=True
        )
        gradient = dict(zip(parameters, grads, strict=True))
        names = set(parameters if step.names is None else step.names)
        moving = {n: g if n in names else g.detach() for n, g in gradient.items()}
        stepped = _stepped(parameters, moving, step)
        virtual = {n: stepped[n] if n in names else p.detach() for n, p in parameters.items()}
        meta_loss = loss_B(virtual, meta_batch, is_meta=True).mean()
        theta_gradient = torch.autograd.grad(meta_loss, weigh.theta(), retain_graph=True)
    detached = {n: g.detach() for n, g in gradient.items()}
    return list(theta_gradient), detached, train_loss_B


def _stepped(parameters: Named, gradient: Named, step: VirtualStep) -> Named:
    """w' with its graph: a copy of the optimizer, made differentiable, takes a step."""
    if step.update is None:
        return {n: p.detach() - step.lr * gradient[n] for n, p in parameters.items()}
    update = step.update
    if update.clip_norm is not None:
        norm = torch.stack([g.norm() for g in gradient.values()]).norm()
        scale = (update.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        gradient = {n: scale * g for n, g in gradient.items()}
    moved = {n: p.detach().clone() for n, p in parameters.items()}
    copy_of = {id(p): moved[n] for n, p in parameters.items()}
    groups = [
        {**group, "params": [copy_of[id(p)] for p in group["params"]], "differentiable": True}
        for group in update.optimizer.param_groups
    ]
    optimizer = torch.optim.AdamW(groups, differentiable=True)
    for group in update.optimizer.param_groups:
        for parameter in group["params"]:
            state = dict(update.optimizer.state.get(parameter) or _no_state(parameter))
            # torch counts in float32, and then corrects biases in it when it is differentiable.
            state["step"] = state["step"].double()
            moments = {k: state[k].clone() for k in ("exp_avg", "exp_avg_sq")}
            optimizer.state[copy_of[id(parameter)]] = state | moments
    for name, parameter in moved.items():
        grad = gradient[name]
        never = (grad == 0) & (optimizer.state[parameter]["exp_avg_sq"] == 0)
        parameter.grad = torch.where(never, grad.detach(), grad)
    optimizer.step()
    for name, (low, high) in update.bounds.items():
        if name not in moved:
            continue
        moved[name] = moved[name].clamp(low, high)
    return moved


def _no_state(parameter: Tensor) -> dict[str, Tensor]:
    zeros = torch.zeros_like(parameter, requires_grad=False)
    return {"step": torch.tensor(0.0), "exp_avg": zeros, "exp_avg_sq": zeros}
