"""A forward pass remembered, so that its forward-mode derivative need not repeat the products.

A linear layer or convolution f is bilinear in its input and its weight, so along (ẋ, Ẇ, ḃ)

    y = f(x, W, b),   ẏ = f(ẋ, W) + f(x, Ẇ, ḃ).

The training step has computed every y already. Where they are at hand, the tangents cost two
products per layer instead of three, and a layer that no tangent reaches costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

BILINEAR: tuple[Callable[..., Tensor], ...] = (F.linear, torch.conv2d)


class Tape:
    """Outputs of the bilinear operations of one forward pass, in their order.

    They share memory with the pass's own tensors; most are kept by its autograd graph anyway.
    """

    def __init__(self) -> None:
        self._outputs: list[Tensor] = []

    def record(self) -> TorchFunctionMode:
        """A context manager: a forward pass inside it fills the tape."""
        return _Record(self._outputs)

    def replay(self) -> TorchFunctionMode:
        """A context manager, without autograd graph: the same forward pass inside it, at the same
        values, takes its products from the tape; parameters may be dual numbers.

        Raises:
            RuntimeError: the pass inside is not the one that was recorded.
        """
        return _Replay(iter(self._outputs))


class _Record(TorchFunctionMode):
    def __init__(self, outputs: list[Tensor]) -> None:
        super().__init__()
        self.outputs = outputs

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in BILINEAR:
            self.outputs.append(result.detach())
        return result


class _Replay(TorchFunctionMode):
    def __init__(self, outputs: Iterator[Tensor]) -> None:
        super().__init__()
        self.outputs = outputs

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func not in BILINEAR:
            return func(*args, **(kwargs or {}))
        try:
            output = next(self.outputs)
        except StopIteration:
            raise RuntimeError("the model ran more layers than when it was recorded") from None
        return _with_tangent(output, func, *args, **(kwargs or {}))


def _with_tangent(
    output: Tensor,
    func: Callable[..., Tensor],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *options: Any,
    **named: Any,
) -> Tensor:
    """`output` = func(input, weight, bias, …) with the tangent that its arguments' give it."""
    x, x_dot = forward_ad.unpack_dual(input)
    w, w_dot = forward_ad.unpack_dual(weight)
    b_dot = None if bias is None else forward_ad.unpack_dual(bias).tangent
    tangent = None
    if w_dot is not None:
        tangent = func(x, w_dot, b_dot, *options, **named)
    elif b_dot is not None:
        tangent = func(x, torch.zeros_like(w), b_dot, *options, **named)
    if x_dot is not None:
        along_x = func(x_dot, w, None, *options, **named)
        tangent = along_x if tangent is None else tangent.add_(along_x)
    if tangent is None:
        return output
    if tangent.shape != output.shape:
        raise RuntimeError(
            f"a product of shape {tuple(tangent.shape)} meets one of shape {tuple(output.shape)} "
            "on the tape: the pass inside is not the one that was recorded"
        )
    return forward_ad.make_dual(output, tangent)
