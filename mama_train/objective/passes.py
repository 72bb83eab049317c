"""What passes through a model have in common: what they give the loss, and two derivatives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from mama_train.data.batch import Batch
from mama_train.objective.losses import answer_loss_b

Named = dict[str, Tensor]


def of_pass(found: tuple[Tensor, ...], batch: Batch) -> tuple[Tensor, ...]:
    """What a model's pass over these rows gives the loss: embeddings and, in place of the logits of
    answers, ℓ^qa."""
    if batch.asked is None:
        return found
    video_bD, text_bD, logits_bK = found
    return video_bD, text_bD, answer_loss_b(logits_bK, batch.asked)


class Inside(nn.Module):
    """Calls a function while `functional_call` has put other values in the model's place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], tuple[Named, Tensor]]) -> tuple[Named, Tensor]:
        return work()


@contextlib.contextmanager
def exact_attention() -> Iterator[None]:
    """Attention by plain matrix products; the fused kernels have no forward-mode derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def vjp(
    outputs: Sequence[Tensor],
    tensors: Sequence[Tensor],
    bars: Sequence[Tensor | None],
    *,
    retain: bool,
) -> list[Tensor]:
    pairs = [
        (o, b.to(o.dtype))
        for o, b in zip(outputs, bars, strict=True)
        if o.requires_grad and b is not None
    ]
    if not pairs:
        return [torch.zeros_like(t) for t in tensors]
    grads = torch.autograd.grad(
        [o for o, _ in pairs],
        tensors,
        [b for _, b in pairs],
        retain_graph=retain,
        allow_unused=True,
    )
    return [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, grads, strict=True)]


def primal_and_tangent(dual: Tensor) -> tuple[Tensor, Tensor]:
    primal, tangent = forward_ad.unpack_dual(dual)
    return primal, torch.zeros_like(primal) if tangent is None else tangent
