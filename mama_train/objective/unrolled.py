"""The meta gradient by second-order autograd: slow and hungry, a reference for tests and timings.

It unrolls the virtual step with `create_graph=True`, as the paper (arXiv 2407.03788) describes.
One process, no chunks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mama_train.data.batch import Batch
from mama_train.objective.losses import same_pairs_BB
from mama_train.objective.meta import VirtualStep
from mama_train.objective.objective import Named, Objective, exact_attention


def unrolled_meta_gradient(
    objective: Objective,
    batch: Batch,
    meta_batch: Batch,
    net: nn.Module,
    weigh: Callable[[Tensor], Tensor],
    *,
    lr: float,
    virtual_step: VirtualStep | None = None,
) -> tuple[list[Tensor], Named, Tensor]:
    """(dL_meta/dθ through the graph of the virtual step, Σ ω_i ∇L_i(w), loss_B with its graph).

    The graph is kept, so that the real step can go back through it again with other weights.
    """
    parameters = objective.parameters()

    def loss_B(at: Named, rows: Batch) -> Tensor:
        video_BD, text_BD = functional_call(objective.model, at, rows.model_input())
        same_BB = same_pairs_BB(rows.clip_key_B, rows.text_key_B)
        return objective.loss(video_BD, text_BD, at["logit_scale"], same_BB=same_BB)

    with exact_attention():
        train_loss_B = loss_B(parameters, batch)
        weight_B = weigh(train_loss_B.detach()).to(train_loss_B.dtype)
        grads = torch.autograd.grad(
            (weight_B * train_loss_B).sum(), list(parameters.values()), create_graph=True
        )
        gradient = dict(zip(parameters, grads, strict=True))
        virtual = {n: p - lr * _update(n, gradient[n], virtual_step) for n, p in parameters.items()}
        meta_loss = loss_B(virtual, meta_batch).mean()
        theta_gradient = torch.autograd.grad(meta_loss, list(net.parameters()), retain_graph=True)
    detached = {n: g.detach() for n, g in gradient.items()}
    return list(theta_gradient), detached, train_loss_B


def _update(name: str, gradient: Tensor, virtual_step: VirtualStep | None) -> Tensor:
    if virtual_step is None:
        return gradient
    return virtual_step.scale(name) * gradient + virtual_step.drift(name)
