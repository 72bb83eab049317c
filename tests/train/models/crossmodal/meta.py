"""The recorded meta step, made of the trainer's own parts: SGD, a weight net of 8 units, sigmoid.

The gradient is the closed form of `objective/meta.py`: −α Σ ∂ω_i/∂θ s_i with one JVP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mama_train.models.base import DualEncoder
from mama_train.objective.replay import Draws, call_with_copies

jvp: Any = torch.func.jvp
Rows = tuple[tuple[Any, Tensor, Tensor], Tensor]


class Answering(nn.Module):
    """A model whose forward answers."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Any, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.answer(self.model.look(video), ids, mask)


def answer_loss(logits_BK: Tensor, answer_B: Tensor) -> Tensor:
    return F.cross_entropy(logits_BK, answer_B, reduction="none")


@dataclass(frozen=True, kw_only=True)
class Found:
    loss_B: Tensor
    weight_B: Tensor
    s_B: Tensor
    meta_loss: Tensor
    theta: dict[str, Tensor]


def recorded_theta(recorded: dict[str, Tensor]) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid()).double()
    prefix = "meta/theta/"
    net.load_state_dict({k.removeprefix(prefix): v for k, v in recorded.items() if prefix in k})
    return net


def sgd_meta_gradient(
    model: DualEncoder, *, train: Rows, meta: Rows, theta: nn.Module, lr: float, by_sum: bool
) -> Found:
    """All parameters with a gradient take the virtual step; buffers stay as they are."""
    module = Answering(model)
    before = {n: b.clone() for n, b in module.named_buffers()}
    named: dict[str, Tensor] = dict(module.named_parameters())

    def loss_B(parameters: dict[str, Tensor], rows: Rows) -> Tensor:
        answered = call_with_copies(module, parameters, rows[0])
        return answer_loss(answered, rows[1])

    train_loss_B = loss_B(named, train)
    value_B = theta(train_loss_B.detach()[:, None])[:, 0]
    weight_B = value_B / (value_B.sum() if by_sum else len(value_B))
    found = torch.autograd.grad(
        (weight_B.detach() * train_loss_B).sum(), list(named.values()), allow_unused=True
    )
    moving = {n: g for (n, _), g in zip(named.items(), found, strict=True) if g is not None}
    at = {n: p.detach() - lr * moving.get(n, torch.zeros(())) for n, p in named.items()}
    for tensor in at.values():
        tensor.requires_grad_()
    meta_loss = loss_B(at, meta).mean()
    grads = torch.autograd.grad(meta_loss, [at[n] for n in moving], allow_unused=True)
    direction = {
        n: torch.zeros_like(at[n]) if g is None else g for n, g in zip(moving, grads, strict=True)
    }
    point = {n: named[n].detach() for n in moving}
    _, s_B = jvp(lambda p: loss_B({**named, **p}, train), (point,), (direction,))
    surrogate = -lr * (weight_B * s_B.detach()).sum()
    names = [n for n, _ in theta.named_parameters()]
    of_theta = torch.autograd.grad(surrogate, list(theta.parameters()))
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, before[name]), f"{name} moved"
    return Found(
        loss_B=train_loss_B.detach(),
        weight_B=weight_B.detach(),
        s_B=s_B.detach(),
        meta_loss=meta_loss.detach(),
        theta=dict(zip(names, of_theta, strict=True)),
    )


def passes_agree(model: DualEncoder, inputs: tuple[Any, Tensor, Tensor], answer_B: Tensor) -> None:
    """With dropout on: s by one JVP from the state of the generators that the first pass had is
    ⟨∇ℓ_i, u⟩ by reverse mode; and without putting the state back it is not."""
    module = Answering(model)
    named: dict[str, Tensor] = dict(module.named_parameters())
    draws = Draws.now(torch.device("cpu"))
    with draws.again():
        loss_B = answer_loss(call_with_copies(module, named, inputs), answer_B)
    generator = torch.Generator().manual_seed(3)
    direction = {
        n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in named.items()
    }
    expected = []
    for loss in loss_B:
        grads = torch.autograd.grad(
            loss, list(named.values()), retain_graph=True, allow_unused=True
        )
        of = zip(grads, direction.values(), strict=True)
        expected.append(sum((g * d).sum() for g, d in of if g is not None))
    point = {n: p.detach() for n, p in named.items()}

    def forward(parameters: dict[str, Tensor]) -> Tensor:
        answered = call_with_copies(module, parameters, inputs)
        return answer_loss(answered, answer_B)

    with draws.again():
        _, s_B = jvp(forward, (point,), (direction,))
    torch.testing.assert_close(s_B, torch.stack(expected), atol=0, rtol=1e-9)  # type: ignore[arg-type]
    torch.rand(1)  # the state moves on
    other, _ = jvp(forward, (point,), (direction,))
    assert (other - loss_B).abs().max() > 1e-3, "nothing was drawn: the test shows nothing"
