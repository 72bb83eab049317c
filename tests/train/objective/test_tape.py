"""A forward-mode pass from the tape: the same tangents, with the products taken, not repeated."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from mama_train.objective.config import MarginLoss
from mama_train.objective.objective import Objective
from mama_train.objective.tape import BILINEAR, Tape
from tests.train.conftest import random_batch, tiny_model


class CountProducts(TorchFunctionMode):
    """Counts the calls of bilinear operations that are really made."""

    def __init__(self) -> None:
        super().__init__()
        self.num: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in BILINEAR:
            self.num[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_tangents_equal_those_of_a_pass_of_its_own() -> None:
    objective = Objective(tiny_model(), MarginLoss(margin=0.3))
    batch = random_batch(1)
    torch.manual_seed(3)
    direction = {n: torch.randn_like(p) for n, p in objective.parameters().items()}
    own, taped = objective.encode(batch), objective.encode(batch, for_jvp=True)
    assert own.tape is None
    assert taped.tape is not None
    expected = objective.loss_jvp(own, direction)
    torch.testing.assert_close(objective.loss_jvp(taped, direction), expected)
    torch.testing.assert_close(objective.loss_jvp(taped, direction), expected)  # not used up


def test_layers_without_a_tangent_are_not_run() -> None:
    model = tiny_model()
    objective = Objective(model, MarginLoss(margin=0.3))
    encoded = objective.encode(random_batch(1), for_jvp=True)
    names = ["vision_model.post_layernorm.weight", "visual_projection.weight"]
    parameters = objective.parameters()
    direction = {n: torch.ones_like(parameters[n]) for n in names}
    with CountProducts() as products:
        objective.loss_jvp(encoded, direction)
    # Of the projection alone, once for its input's tangent and once for its weight's.
    assert products.num == {"linear": 2}


def test_the_pass_must_be_the_recorded_one() -> None:
    tape, weight = Tape(), torch.ones(3, 2)
    with tape.record():
        F.linear(torch.ones(1, 2), weight)
    with tape.replay():
        assert F.linear(torch.ones(1, 2), weight).tolist() == [[2, 2, 2]]
        with pytest.raises(RuntimeError, match="recorded"):
            F.linear(torch.ones(1, 2), weight)
    with forward_ad.dual_level(), tape.replay(), pytest.raises(RuntimeError, match="shape"):
        F.linear(torch.ones(3, 2), forward_ad.make_dual(weight, weight))


@pytest.mark.parametrize("with_bias_alone", [False, True])
def test_convolutions_keep_their_options(with_bias_alone: bool) -> None:
    torch.manual_seed(0)
    x, w, b = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 2, 2), torch.randn(4)
    dots = [torch.randn_like(t) for t in (x, w, b)]
    if with_bias_alone:
        dots[:2] = [torch.zeros_like(x), torch.zeros_like(w)]

    def convolve(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return torch.conv2d(x, w, b, 2, 1)

    expected = torch.func.jvp(convolve, (x, w, b), tuple(dots))
    tape = Tape()
    with tape.record():
        convolve(x, w, b)
    with forward_ad.dual_level(), tape.replay():
        x, w, b = (
            t if with_bias_alone and t is not b else forward_ad.make_dual(t, dot)
            for t, dot in zip((x, w, b), dots, strict=True)
        )
        found = forward_ad.unpack_dual(convolve(x, w, b))
    torch.testing.assert_close(tuple(found), expected)
