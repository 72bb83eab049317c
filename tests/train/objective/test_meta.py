"""The JVP meta step equals second-order autograd, and does what a meta step is for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mama_train.objective.config import MarginLoss, Weighting, WeightOutput
from mama_train.objective.meta import MetaOutcome, Update, VirtualStep, adamw_step, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.weighting import Weigher, WeightNet
from tests.train.conftest import random_batch, tiny_model

LR = 0.05
SGD = VirtualStep(lr=LR)


def weight_net(dtype: torch.dtype, output: WeightOutput = "exp") -> WeightNet:
    torch.manual_seed(5)
    net = WeightNet(8, output).to(dtype)
    with torch.no_grad():
        net.out.weight.normal_()
    return net


def weigher(dtype: torch.dtype = torch.float64, *, normalised: bool = True) -> Weigher:
    if normalised:
        return Weigher(weighting=Weighting(), net=weight_net(dtype))
    raw = Weighting(normalised=False, output="sigmoid")
    return Weigher(weighting=raw, net=weight_net(dtype, "sigmoid"))


def adamw(objective: Objective) -> Update:
    """AdamW's, after two steps on other batches."""
    named = objective.parameters()
    optimizer = torch.optim.AdamW(objective.model.parameters(), lr=1e-3)
    assert adamw_step(optimizer, named) is None
    for seed in (10, 11):
        encoded = objective.encode(random_batch(seed, dtype=objective.model.logit_scale.dtype))
        for name, grad in objective.gradient(encoded, torch.full((6,), 1 / 6)).items():
            named[name].grad = grad
        optimizer.step()
    optimizer.zero_grad()
    found = adamw_step(optimizer, named)
    assert found is not None
    return found


def both(
    dtype: torch.dtype,
    *,
    with_adamw: bool,
    normalised: bool,
    chunk: int | None,
    checkpointing: bool,
    tape: bool = True,
) -> tuple[MetaOutcome, tuple[list[Tensor], dict[str, Tensor]]]:
    model = tiny_model(dtype=dtype)
    loss = MarginLoss(margin=0.3)
    reference = Objective(model, loss)
    step = VirtualStep(lr=LR, update=adamw(reference) if with_adamw else None)
    batch, meta_batch = random_batch(1, dtype=dtype), random_batch(2, 4, dtype=dtype)
    weigh = weigher(dtype, normalised=normalised)
    expected = unrolled_meta_gradient(reference, batch, meta_batch, weigh, step)[:2]
    for tower in (model.text_model, model.vision_model):
        tower.encoder.gradient_checkpointing = checkpointing
    objective = Objective(model, loss, chunk=chunk)
    encoded = objective.encode(batch, for_jvp=tape)
    return meta_gradient(objective, encoded, meta_batch, weigh, step), expected


def relative_error(actual: list[Tensor], expected: list[Tensor]) -> float:
    a, e = (torch.cat([t.flatten() for t in side]) for side in (actual, expected))
    return float((a - e).norm() / e.norm())


@pytest.mark.parametrize("with_adamw", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(
    ("chunk", "checkpointing", "tape"),
    [
        (None, False, True),
        (None, False, False),
        (2, False, True),
        (None, True, False),
        (4, True, False),
    ],
)
def test_equals_double_backward_in_float64(
    with_adamw: bool, normalised: bool, chunk: int | None, checkpointing: bool, tape: bool
) -> None:
    outcome, (theta, gradient) = both(
        torch.float64,
        with_adamw=with_adamw,
        normalised=normalised,
        chunk=chunk,
        checkpointing=checkpointing,
        tape=tape,
    )
    assert max(float(g.norm()) for g in theta) > 1e-6
    assert relative_error(outcome.theta_gradient, theta) < 1e-10
    assert outcome.gradient is not None
    assert relative_error(list(outcome.gradient.values()), list(gradient.values())) < 1e-10


@pytest.mark.parametrize("with_adamw", [False, True])
def test_equals_double_backward_in_float32(with_adamw: bool) -> None:
    outcome, (theta, _) = both(
        torch.float32, with_adamw=with_adamw, normalised=True, chunk=None, checkpointing=False
    )
    assert relative_error(outcome.theta_gradient, theta) < 1e-4


def test_s_is_each_samples_slope_of_the_loss_along_the_direction() -> None:
    model = tiny_model()
    objective = Objective(model, MarginLoss(margin=0.3))
    batch = random_batch(1)
    torch.manual_seed(3)
    direction = {n: torch.randn_like(p) for n, p in objective.parameters().items()}
    s_B = objective.loss_jvp(objective.encode(batch), direction)
    eps = 1e-6
    losses = []
    for sign in (1, -1):
        moved = {n: p + sign * eps * direction[n] for n, p in objective.parameters().items()}
        losses.append(objective.mean_gradient_at(moved, batch)[1])
    torch.testing.assert_close(s_B, (losses[0] - losses[1]) / (2 * eps), rtol=1e-6, atol=1e-8)


def test_upper_layers_alone_are_exact_for_a_step_of_those_alone() -> None:
    model = tiny_model()
    names = model.upper_names(1)
    assert 0 < len(names) < len(list(model.parameters()))
    assert not any("layers.0." in n or "embedding" in n for n in names)
    objective, weigh = Objective(model, MarginLoss()), weigher()
    batch, meta_batch = random_batch(1), random_batch(2)
    encoded = objective.encode(batch, for_jvp=True)
    upper = VirtualStep(lr=LR, names=names)
    outcome = meta_gradient(objective, encoded, meta_batch, weigh, upper)

    class Masked:
        def scale(self, name: str) -> Tensor:
            return torch.tensor(float(name in names), dtype=torch.float64)

        def drift(self, name: str) -> Tensor:
            return torch.tensor(0.0, dtype=torch.float64)

    masked = VirtualStep(lr=LR, update=Masked())
    expected, _, _ = unrolled_meta_gradient(objective, batch, meta_batch, weigh, masked)
    assert relative_error(outcome.theta_gradient, expected) < 1e-10


def test_descending_theta_lowers_the_loss_on_the_meta_set() -> None:
    """Skipping the meta step, or a wrong sign, fails here."""
    objective, weigh = Objective(tiny_model(), MarginLoss()), weigher()
    batch, meta_batch = random_batch(1), random_batch(2)

    def meta_loss_after_a_virtual_step() -> float:
        encoded = objective.encode(batch)
        grads = objective.gradient(encoded, weigh(encoded.loss_B))
        moved = {n: p - LR * grads[n] for n, p in objective.parameters().items()}
        return float(objective.mean_gradient_at(moved, meta_batch)[1].mean())

    before = meta_loss_after_a_virtual_step()
    outcome = meta_gradient(objective, objective.encode(batch), meta_batch, weigh, SGD)
    size = sum(float((g * g).sum()) for g in outcome.theta_gradient)
    with torch.no_grad():
        for parameter, grad in zip(weigh.theta(), outcome.theta_gradient, strict=True):
            parameter.sub_(grad, alpha=0.1)
    assert meta_loss_after_a_virtual_step() - before == pytest.approx(-0.1 * size, rel=0.05)


def test_bf16_autocast_points_the_same_way() -> None:
    """Parameters and optimizer stay fp32; only the encoders round. The stated error, not exactness:
    s is right to some percent; in V's gradient a sample may besides cross a ReLU's kink."""
    outcomes = []
    # A gentle V: a steep one would take the rounding of a loss to an exponential.
    gentle = Weigher(
        weighting=Weighting(output="sigmoid"), net=weight_net(torch.float32, "sigmoid")
    )
    for autocast in (None, torch.bfloat16):
        model = tiny_model(dtype=torch.float32)
        objective = Objective(model, MarginLoss(margin=0.3), autocast=autocast)
        outcomes.append(
            meta_gradient(
                objective,
                objective.encode(random_batch(1, dtype=torch.float32), for_jvp=True),
                random_batch(2, dtype=torch.float32),
                gentle,
                SGD,
            )
        )
    exact, rounded = outcomes
    assert torch.isfinite(rounded.s_B).all()
    assert rounded.s_B.dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity(exact.s_B, rounded.s_B, dim=0)
    assert cosine > 0.995
    assert relative_error([rounded.s_B], [exact.s_B]) < 0.1
    flat = [torch.cat([g.flatten() for g in o.theta_gradient]) for o in outcomes]
    assert torch.nn.functional.cosine_similarity(flat[0], flat[1], dim=0) > 0.9


def test_the_virtual_adamw_step_is_the_one_that_adamw_takes() -> None:
    """All but the second moment, which is frozen: with a large β₂ it hardly moves."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(50, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], lr=1e-2, betas=(0.9, 1 - 1e-9), weight_decay=0.0)
    for _ in range(4):
        parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    virtual_step = VirtualStep(lr=1e-2, update=adamw_step(optimizer, {"p": parameter}))
    assert virtual_step.update is not None
    gradient = 1e-3 * torch.randn_like(parameter)
    update = virtual_step.along("p", gradient)
    expected = parameter.detach() - 1e-2 * update
    # A tiny gradient: what it adds to the second moment can be left out of the comparison.
    parameter.grad = gradient
    optimizer.step()
    moved = (parameter.detach() - expected).norm() / update.norm() / 1e-2
    assert moved < 0.13  # bias correction of v at t = 4 and t = 5: sqrt(5 / 4) - 1
