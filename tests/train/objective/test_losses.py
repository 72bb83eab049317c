"""The margin loss: hand-computed values, its bound, its edges."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mama_train.objective.config import BelowKind, MarginKind, MarginLoss
from mama_train.objective.losses import full_margin, margin_cosine, same_pairs_BB
from mama_train.objective.margins import MarginNow, margins_B, next_running_angle, share_at


def unit_rows(angles: list[float]) -> Tensor:
    return torch.tensor([[math.cos(a), math.sin(a)] for a in angles], dtype=torch.float64)


def by_hand(video: list[float], text: list[float], scale: float, mu: float) -> list[float]:
    """The definition, written with scalar trigonometry."""
    found = []
    num = len(video)
    for i in range(num):
        positive = math.cos(max(0.0, abs(video[i] - text[i]) - mu))
        rows = [math.exp(scale * math.cos(video[i] - text[j])) for j in range(num) if j != i]
        columns = [math.exp(scale * math.cos(video[j] - text[i])) for j in range(num) if j != i]
        p = math.exp(scale * positive)
        found.append(-0.5 * (math.log(p / (p + sum(rows))) + math.log(p / (p + sum(columns)))))
    return found


def test_equals_the_definition() -> None:
    video, text = [0.1, 1.3, 2.0], [0.5, 1.2, 0.7]  # one pair is nearer than the margin
    expected = by_hand(video, text, 3.0, 0.2)
    each_B = torch.full((3,), 0.2, dtype=torch.float64)
    for loss, margin_B in ((MarginLoss(margin=0.2), None), (MarginLoss(margin=0.9), each_B)):
        scale = torch.tensor(math.log(3.0))
        loss_B = loss(unit_rows(video), unit_rows(text), scale, margin_B=margin_B)
        assert loss_B.tolist() == pytest.approx(expected, rel=1e-6)


def test_subtracting_the_margin_helps_the_positive_pair() -> None:
    """A flipped sign fails here: additive is larger, subtractive smaller than none."""
    video, text = unit_rows([0.0, 1.0]), unit_rows([0.6, 1.9])
    kinds: tuple[MarginKind, ...] = ("subtractive", "none", "additive", "cosine")
    losses = {
        kind: MarginLoss(kind=kind, margin=0.2)(video, text, torch.tensor(1.0)).sum().item()
        for kind in kinds
    }
    assert losses["subtractive"] < losses["none"] < losses["cosine"] < losses["additive"] + 0.2
    assert losses["none"] < losses["additive"]


def gradient_on_the_angle(
    angle: Tensor, mu: float, scale: float, rest: float, kind: MarginKind
) -> Tensor:
    """|d loss / d λ_ii| when the negatives of the row sum to `rest`."""
    angle = angle.clone().requires_grad_()
    positive = scale * margin_cosine(angle.cos(), MarginLoss(kind=kind, margin=mu))
    loss = torch.logaddexp(positive, torch.full_like(positive, math.log(rest))) - positive
    (grad,) = torch.autograd.grad(loss.sum(), angle)
    return grad.abs()


def test_gradient_is_at_most_that_without_margin_between_the_margin_and_a_right_angle() -> None:
    for mu in np.linspace(0.02, 1.2, 13):
        angles = torch.linspace(float(mu) + 1e-3, math.pi / 2, 200, dtype=torch.float64)
        for scale in (1.0, 5.0, 20.0, 100.0):
            for rest in np.exp(np.linspace(-scale, scale + 5, 7)):
                with_margin = gradient_on_the_angle(angles, float(mu), scale, rest, "subtractive")
                without = gradient_on_the_angle(angles, float(mu), scale, rest, "none")
                assert (with_margin <= without * (1 + 1e-9) + 1e-12).all()


@settings(max_examples=60, deadline=None)
@given(mu=st.floats(0.0, 1.2), x=st.floats(-1.0, 1.0))
def test_finite_everywhere_with_finite_gradient(mu: float, x: float) -> None:
    for kind in get_args(MarginKind):
        for below in get_args(BelowKind):
            for dtype in (torch.float32, torch.float64):
                at = torch.tensor([x, 1.0, -1.0, math.cos(mu)], dtype=dtype, requires_grad=True)
                value = margin_cosine(at, MarginLoss(kind=kind, margin=mu, below=below))
                (grad,) = torch.autograd.grad(value.sum(), at)
                assert torch.isfinite(value).all()
                assert torch.isfinite(grad).all()


@settings(max_examples=60, deadline=None)
@given(mu=st.floats(0.01, 1.0), angle=st.floats(0.01, 3.1))
def test_below_the_margin(mu: float, angle: float) -> None:
    x = torch.tensor(math.cos(angle), dtype=torch.float64, requires_grad=True)
    clamped = margin_cosine(x, MarginLoss(margin=mu))
    assert clamped.item() == pytest.approx(math.cos(max(0.0, angle - mu)), abs=2e-6)
    reflected = margin_cosine(x, MarginLoss(margin=mu, below="reflect"))
    assert reflected.item() == pytest.approx(math.cos(angle - mu), abs=1e-5)
    if abs(angle - mu) > 1e-3:
        (slope,) = torch.autograd.grad(reflected, x)
        assert (slope.item() < 0) == (angle < mu)  # below the margin, closer is worse


@settings(max_examples=40, deadline=None)
@given(mu=st.floats(0.0, 1.0))
def test_additive_falls_with_the_angle_all_the_way(mu: float) -> None:
    x = torch.linspace(-1, 1, 400, dtype=torch.float64)
    values = margin_cosine(x, MarginLoss(kind="additive", margin=mu))
    assert (values.diff() > -1e-9).all()


def test_identical_texts_and_clips_are_no_negatives() -> None:
    video, text = unit_rows([0.0, 0.3, 2.0]), unit_rows([0.1, 0.1, 1.5])
    same = same_pairs_BB(torch.tensor([1, 2, 3]), torch.tensor([7, 7, 8]))
    scale = torch.tensor(1.0)
    loss = MarginLoss(margin=0.2)
    loss_B = loss(video, text, scale, same_BB=same)
    first = loss(video[[0, 2]], text[[0, 2]], scale)
    second = loss(video[[1, 2]], text[[1, 2]], scale)
    assert loss_B[0].item() == pytest.approx(first[0].item())
    assert loss_B[1].item() == pytest.approx(second[0].item())
    everything_same = torch.ones(3, 3, dtype=torch.bool)
    alone = MarginLoss(kind="none")(video, text, scale, same_BB=everything_same)
    assert alone.tolist() == pytest.approx([0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("kind", ["subtractive", "additive", "cosine"])
def test_the_acute_region_leaves_obtuse_pairs_alone(kind: MarginKind) -> None:
    """Value and slope, on both sides of a right angle."""
    acute = MarginLoss(kind=kind, margin=0.2, region="acute")
    x = torch.tensor([0.9, 1e-3, -1e-3, -0.9], dtype=torch.float64, requires_grad=True)
    value = margin_cosine(x, acute)
    (slope,) = torch.autograd.grad(value.sum(), x)
    everywhere = margin_cosine(x, MarginLoss(kind=kind, margin=0.2))
    (slope_everywhere,) = torch.autograd.grad(everywhere.sum(), x)
    assert torch.equal(value[:2], everywhere[:2])
    assert torch.equal(slope[:2], slope_everywhere[:2])
    assert torch.equal(value[2:], x[2:])
    assert slope[2:].tolist() == [1, 1]
    if kind == "subtractive":
        angle = math.pi / 2 - 1e-3
        assert value[1].item() == pytest.approx(math.cos(angle - 0.2), abs=1e-6)
        assert slope[1].item() == pytest.approx(math.sin(angle - 0.2) / math.sin(angle), abs=1e-6)


@pytest.mark.parametrize("kind", ["subtractive", "additive", "cosine"])
@pytest.mark.parametrize(("scale", "nats"), [(14.3, 0.6), (100.0, 0.6), (100.0, 4.0)])
def test_a_margin_in_nats_is_that_head_start_at_one_radian(
    kind: MarginKind, scale: float, nats: float
) -> None:
    loss = MarginLoss(kind=kind, nats=nats)
    margin = full_margin(loss, torch.tensor(scale, dtype=torch.float64).log())
    x = torch.tensor(math.cos(1.0), dtype=torch.float64)
    head_start = scale * float(margin_cosine(x, loss, margin) - x)
    assert head_start == pytest.approx(nats if kind == "subtractive" else -nats, rel=1e-6)


def test_radians_win_over_nats_and_the_default_is_a_head_start() -> None:
    for scale in (14.3, 100.0):
        log_scale = torch.tensor(scale, dtype=torch.float64).log()
        assert float(full_margin(MarginLoss(margin=0.2, nats=3.0), log_scale)) == 0.2
        usual = float(full_margin(MarginLoss(), log_scale))
        assert scale * (math.cos(1 - usual) - math.cos(1)) == pytest.approx(0.6)


def test_a_margin_in_nats_follows_the_scale_and_takes_no_gradient() -> None:
    video, text = unit_rows([0.0, 1.0]), unit_rows([0.6, 1.9])
    log_scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    mu = full_margin(MarginLoss(nats=1.0), log_scale)
    (found,) = torch.autograd.grad(MarginLoss(nats=1.0)(video, text, log_scale).sum(), log_scale)
    fixed = MarginLoss(margin=float(mu))(video, text, log_scale).sum()
    (expected,) = torch.autograd.grad(fixed, log_scale)
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
    assert full_margin(MarginLoss(nats=1.0), log_scale + 1) < mu
    assert float(full_margin(MarginLoss(nats=50.0), log_scale)) == pytest.approx(1.0)


def test_rules_give_worse_pairs_more_margin_and_mu_on_average() -> None:
    angle_B = torch.tensor([0.2, 0.8, 1.4], dtype=torch.float64)
    scale = torch.tensor(3.0)
    fixed = margins_B(MarginLoss(margin=0.1), MarginNow(0.5), angle_B, scale, None)
    assert fixed.tolist() == pytest.approx([0.05] * 3)
    running = MarginLoss(margin=0.1, rule="running")
    at_start = margins_B(running, MarginNow(), angle_B, scale, None)
    assert at_start.tolist() == pytest.approx([0.1] * 3)
    later = margins_B(running, MarginNow(running_angle=0.5), angle_B, scale, None)
    assert later.tolist() == pytest.approx([0.04, 0.16, 0.2])
    by_agreement = MarginLoss(margin=0.1, rule="agreement")
    share_B = torch.tensor([1.0, 0.25, torch.nan])
    found = margins_B(by_agreement, MarginNow(), angle_B, scale, share_B)
    assert found.tolist() == pytest.approx([0.0, 0.15, 0.1])
    assert next_running_angle(None, angle_B) == pytest.approx(0.8)
    assert next_running_angle(0.5, angle_B) == pytest.approx(0.503)


def test_the_margin_warms_up() -> None:
    loss = MarginLoss(warmup=0.5)
    shares = [share_at(step, 20, loss) for step in range(20)]
    assert shares[:3] == pytest.approx([0, 0.1, 0.2])
    assert shares[10:] == [1.0] * 10
    assert share_at(0, 20, MarginLoss()) == 1.0


@pytest.mark.parametrize("settings_", [{"kind": "spherical"}, {"below": "up"}, {"margin": 3.0}])
def test_mistakes_name_the_value_and_what_is_allowed(settings_: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(settings_.values())))):
        MarginLoss(**settings_)  # type: ignore[arg-type]
