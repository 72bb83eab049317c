"""The meta gradient by second-order autograd: slow and hungry, a reference for tests and timings.

It unrolls the virtual step with `create_graph=True`, as the paper (arXiv 2407.03788) describes.
One process, no chunks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from mama_train.data.batch import Batch
from mama_train.objective.losses import same_pairs_BB
from mama_train.objective.meta import VirtualStep
from mama_train.objective.objective import Named, Objective, exact_attention
from mama_train.objective.weighting import Weigher


def unrolled_meta_gradient(
    objective: Objective,
    batch: Batch,
    meta_batch: Batch,
    weigh: Weigher,
    step: VirtualStep,
) -> tuple[list[Tensor], Named, Tensor]:
    """(dL_meta/dθ through the graph of the virtual step, Σ ω_i ∇L_i(w), loss_B with its graph).

    All parameters take the virtual step, whatever its `names`. The graph is kept, so that the real
    step can go back through it again with other weights.
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
        virtual = {n: p - step.lr * step.along(n, gradient[n]) for n, p in parameters.items()}
        meta_loss = loss_B(virtual, meta_batch).mean()
        theta_gradient = torch.autograd.grad(meta_loss, weigh.theta(), retain_graph=True)
    detached = {n: g.detach() for n, g in gradient.items()}
    return list(theta_gradient), detached, train_loss_B
