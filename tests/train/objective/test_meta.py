"""The JVP meta step equals second-order autograd, and does what a meta step is for."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from mama_train.data.batch import Batch
from mama_train.models.clip_vip import ClipVip
from mama_train.models.small import initialise_from_nothing, small_config
from mama_train.models.towers import TowerKind
from mama_train.models.weights import MAY_BE_NEW
from mama_train.objective.config import MarginLoss, Weighting, WeightOutput
from mama_train.objective.margins import MarginNow
from mama_train.objective.meta import MetaOutcome, VirtualStep, adamw_step, meta_gradient
from mama_train.objective.objective import Objective
from mama_train.objective.passes import exact_attention
from mama_train.objective.unrolled import unrolled_meta_gradient
from mama_train.objective.update import AdamWUpdate
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.run.config import OptimConfig
from mama_train.run.optim import clip_gradient, lr_scales, make_optimizer, set_lr, take_step
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


def covering(batch: Batch) -> Batch:
    """The same rows with every token of the vocabulary in them: autograd through a real AdamW
    gives NaN for a row of the table that never had a gradient."""
    ids = batch.input_ids_BS.clone()
    ids[:, :-1] = torch.arange(ids[:, :-1].numel()).reshape(len(ids), -1) * 7 % 29
    assert len(ids.unique()) == 30
    return dataclasses.replace(batch, input_ids_BS=ids)


def adamw(objective: Objective, seen: str, clip_norm: float | None = None) -> AdamWUpdate:
    """AdamW's next step: the first of all; after two on other batches; or when besides a thousand
    have gone by in which a part of the parameters had no gradient."""
    named = objective.parameters()
    decays: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in named.values():
        (decays if parameter.ndim > 1 else others).append(parameter)
    groups = [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
    if seen != "never":
        for seed in (10, 11):
            batch = covering(random_batch(seed, dtype=objective.model.logit_scale.dtype))
            encoded = objective.encode(batch)
            for name, grad in objective.gradient(encoded, torch.full((6,), 1 / 6)).items():
                named[name].grad = grad
            optimizer.step()
        optimizer.zero_grad()
    for group in optimizer.param_groups:
        group["lr"] = LR
    if seen == "long ago":
        # What a thousand steps with gradient 0 do to the moments.
        for parameter, state in optimizer.state.items():
            state["step"] += 1000
            unseen = torch.arange(len(parameter.flatten())) % 3 == 0
            for moment, decay in (("exp_avg", 0.9**1000), ("exp_avg_sq", 0.98**1000)):
                state[moment].view(-1)[unseen] *= decay
    return adamw_step(optimizer, named, clip_norm=clip_norm)


def both(
    dtype: torch.dtype,
    *,
    update: tuple[str, float | None] | None,
    normalised: bool = True,
    chunk: int | None = None,
    checkpointing: bool = False,
    tape: bool = True,
    frozen: tuple[TowerKind, ...] = (),
    freeze_scale: bool = False,
) -> tuple[MetaOutcome, tuple[list[Tensor], dict[str, Tensor]]]:
    model = tiny_model(dtype=dtype)
    model.freeze(frozen, logit_scale=freeze_scale)
    loss = MarginLoss(margin=0.3)
    reference = Objective(model, loss)
    step = VirtualStep(lr=LR, update=None if update is None else adamw(reference, *update))
    batch, meta_batch = covering(random_batch(1, dtype=dtype)), random_batch(2, 4, dtype=dtype)
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


@pytest.mark.parametrize("update", [None, ("lately", None), ("never", 0.1), ("long ago", 0.1)])
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
    update: tuple[str, float | None] | None,
    normalised: bool,
    chunk: int | None,
    checkpointing: bool,
    tape: bool,
) -> None:
    """With the gradient clipped to a tenth of its norm or less, where it is clipped."""
    outcome, (theta, gradient) = both(
        torch.float64,
        update=update,
        normalised=normalised,
        chunk=chunk,
        checkpointing=checkpointing,
        tape=tape,
    )
    assert max(float(g.norm()) for g in theta) > 1e-6
    assert relative_error(outcome.theta_gradient, theta) < 1e-10
    assert outcome.gradient is not None
    assert relative_error(list(outcome.gradient.values()), list(gradient.values())) < 1e-10


@pytest.mark.parametrize("update", [None, ("lately", None), ("never", 0.1), ("long ago", 0.1)])
@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize(("frozen", "scale"), [(("vision",), False), (("text",), True), ((), True)])
def test_frozen_parameters_are_constants_of_every_pass(
    update: tuple[str, float | None] | None,
    chunk: int | None,
    frozen: tuple[TowerKind, ...],
    scale: bool,
) -> None:
    outcome, (theta, gradient) = both(
        torch.float64, update=update, chunk=chunk, frozen=frozen, freeze_scale=scale
    )
    assert max(float(g.norm()) for g in theta) > 1e-9
    assert relative_error(outcome.theta_gradient, theta) < 1e-10
    assert outcome.gradient is not None
    assert outcome.gradient.keys() == gradient.keys()
    for name in outcome.gradient:
        assert (name == "logit_scale") <= (not scale)
        assert not name.startswith(frozen)
    assert relative_error(list(outcome.gradient.values()), list(gradient.values())) < 1e-10


@pytest.mark.parametrize("frozen", [(), ("vision",)])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_virtual_step_uses_each_groups_learning_rate_and_decay(
    chunk: int | None, frozen: tuple[TowerKind, ...]
) -> None:
    model, loss = tiny_model(), MarginLoss(margin=0.3)
    model.freeze(frozen)
    optim = OptimConfig(lr=LR, layer_decay=0.6, lr_new=5.0, weight_decay=0.3)
    optimizer = make_optimizer(model, optim, lr_scales(model, optim, MAY_BE_NEW))
    reference = Objective(model, loss)
    named = reference.parameters()
    encoded = reference.encode(covering(random_batch(10)))
    for name, grad in reference.gradient(encoded, torch.full((6,), 1 / 6)).items():
        named[name].grad = grad
    set_lr(optimizer, 1e-3)
    optimizer.step()
    set_lr(optimizer, LR)
    assert len({group["lr"] for group in optimizer.param_groups}) >= 4
    step = VirtualStep(lr=LR, update=adamw_step(optimizer, named, clip_norm=0.1))
    batch, meta_batch, weigh = covering(random_batch(1)), random_batch(2, 4), weigher()
    expected = unrolled_meta_gradient(reference, batch, meta_batch, weigh, step)[0]
    objective = Objective(model, loss, chunk=chunk)
    found = meta_gradient(objective, objective.encode(batch), meta_batch, weigh, step)
    assert relative_error(found.theta_gradient, expected) < 1e-10


@pytest.mark.parametrize("update", [None, ("lately", 0.1)])
def test_equals_double_backward_in_float32(update: tuple[str, float | None] | None) -> None:
    outcome, (theta, _) = both(torch.float32, update=update)
    assert relative_error(outcome.theta_gradient, theta) < 1e-4


@pytest.mark.parametrize(
    "loss",
    [
        MarginLoss(nats=1.0, region="acute"),
        MarginLoss(margin=0.3, rule="running"),
        MarginLoss(margin=0.3, rule="agreement"),
    ],
)
def test_margins_by_rule_are_constants_of_every_pass(loss: MarginLoss) -> None:
    objective, weigh = Objective(tiny_model(), loss), weigher()
    objective.margin_now = MarginNow(0.7, 1.1)
    batch, meta_batch = (
        dataclasses.replace(random_batch(seed), agreement_B=torch.linspace(0, 1, 6))
        for seed in (1, 2)
    )
    encoded = objective.encode(batch, for_jvp=True)
    found = meta_gradient(objective, encoded, meta_batch, weigh, SGD).theta_gradient
    expected = unrolled_meta_gradient(objective, batch, meta_batch, weigh, SGD)[0]
    assert relative_error(found, expected) < 1e-10


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


@pytest.mark.parametrize("update", [None, ("lately", 0.1)])
def test_upper_layers_alone_are_exact_for_a_step_of_those_alone(
    update: tuple[str, float | None] | None,
) -> None:
    model = tiny_model()
    names = model.upper_names(1)
    assert 0 < len(names) < len(list(model.parameters()))
    assert not any("layers.0." in n or "embedding" in n for n in names)
    objective, weigh = Objective(model, MarginLoss()), weigher()
    batch, meta_batch = covering(random_batch(1)), random_batch(2)
    adam = None if update is None else adamw(objective, *update)
    encoded = objective.encode(batch, for_jvp=True)
    upper = VirtualStep(lr=LR, names=names, update=adam)
    outcome = meta_gradient(objective, encoded, meta_batch, weigh, upper)
    expected, _, _ = unrolled_meta_gradient(objective, batch, meta_batch, weigh, upper)
    assert relative_error(outcome.theta_gradient, expected) < 1e-10


@pytest.mark.parametrize("seen", ["never", "long ago"])
def test_the_small_model_of_a_run_is_exact_too(seen: str) -> None:
    """Both with the same attention kernels: in the first step the slope of AdamW is the largest
    where a gradient is near ε = 1e-8, and there the rounding of the gradient decides."""
    torch.manual_seed(0)
    model = ClipVip(small_config(vocab_size=30)).double()
    initialise_from_nothing(model)
    objective, weigh = Objective(model, MarginLoss()), weigher()

    def rows(seed: int) -> Batch:
        torch.manual_seed(seed)
        video = torch.randint(0, 256, (6, 6, 32, 32, 3), dtype=torch.uint8)
        ids = torch.arange(6 * 24).reshape(6, 24) * (seed + 6) % 29
        ids[:, -1] = 29
        mask = torch.ones_like(ids)
        return dataclasses.replace(random_batch(seed), video=video, input_ids_BS=ids, mask_BS=mask)

    batch, meta_batch = rows(1), rows(2)
    named = objective.parameters()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    if seen == "long ago":
        for name, parameter in named.items():
            torch.manual_seed(len(name))
            moments = torch.randn_like(parameter), torch.rand_like(parameter)
            optimizer.state[parameter] = {
                "step": torch.tensor(1000.0),
                "exp_avg": 1e-9 * moments[0] * moments[1],
                "exp_avg_sq": 1e-18 * moments[1] ** 2,
            }
    step = VirtualStep(lr=1e-3, update=adamw_step(optimizer, named, clip_norm=0.1))
    with exact_attention():
        encoded = objective.encode(batch, for_jvp=True)
        outcome = meta_gradient(objective, encoded, meta_batch, weigh, step)
    expected, gradient, _ = unrolled_meta_gradient(objective, batch, meta_batch, weigh, step)
    assert float(torch.stack([g.norm() for g in gradient.values()]).norm()) > 0.1
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


@pytest.mark.parametrize("seen", ["never", "lately"])
def test_the_virtual_step_is_the_one_that_is_really_taken(seen: str) -> None:
    """Clipping, AdamW with its decay, and the bound on the temperature, through the run's own
    code."""
    objective = Objective(tiny_model(), MarginLoss())
    model, limit = objective.model, 6.5
    update = adamw(objective, seen, clip_norm=0.1)
    bounded = dataclasses.replace(update, bounds={"logit_scale": (0.0, math.log(limit))})
    encoded = objective.encode(random_batch(1))
    gradient = objective.gradient(encoded, torch.full((6,), 1 / 6))
    virtual = VirtualStep(lr=LR, update=bounded).taken(objective.parameters(), gradient)
    assert float(virtual["logit_scale"].detach().exp()) == pytest.approx(limit)
    assert clip_gradient(model, gradient, 0.1) > 0.1
    take_step(model, update.optimizer, max_logit_scale=limit)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(virtual[name], parameter.detach(), rtol=1e-13, atol=1e-15)


def test_a_bounded_parameter_at_its_bound_has_no_derivative() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    update = adamw_step(optimizer, {"p": parameter}, bounds={"p": (0.0, 2.0)})
    direction = {"p": torch.ones(2, dtype=torch.float64)}
    update.pull_back({"p": torch.tensor([-0.5, -0.5], dtype=torch.float64)}, direction, 0.1)
    assert direction["p"][0] != 0
    assert direction["p"][1] == 0


@pytest.mark.parametrize("num_steps", [0, 5])
def test_where_no_gradient_ever_was_the_limit_is_taken(num_steps: int) -> None:
    """Autograd through AdamW is NaN at g = v = 0; the slope is a / ε, as differences show."""
    size = 1e-13  # far below ε, and far above rounding

    def moved(gradient: Tensor) -> Tensor:
        """The step of a new AdamW along `gradient`, after steps in which p[0] had none."""
        return AdamWUpdate(optimizer=stepped(), named=named).stepped({"p": gradient}, ["p"])["p"]

    parameter = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    named = {"p": parameter}

    def stepped() -> torch.optim.Optimizer:
        optimizer = torch.optim.AdamW([parameter], lr=1.0, betas=(0.9, 0.98), weight_decay=0.0)
        with torch.no_grad():
            parameter.zero_()
        for _ in range(num_steps):
            parameter.grad = torch.tensor([0.0, 0.3], dtype=torch.float64)
            optimizer.step()
        return optimizer

    gradient = torch.tensor([0.0, 0.2], dtype=torch.float64)
    along = torch.tensor([size, 0.0], dtype=torch.float64)
    slope = -(moved(gradient + along) - moved(gradient - along))[0] / (2 * size)
    direction = {"p": torch.ones(2, dtype=torch.float64)}
    AdamWUpdate(optimizer=stepped(), named=named).pull_back({"p": gradient}, direction, 1.0)
    assert torch.isfinite(direction["p"]).all()
    assert float(direction["p"][0]) == pytest.approx(float(slope), rel=1e-4)
    assert float(direction["p"][0]) == pytest.approx(0.1 / (1 - 0.9 ** (num_steps + 1)) / 1e-8)
