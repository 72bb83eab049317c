"""Weights of V: a softmax that cannot saturate, a sigmoid whose saturation is seen and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mama_train.objective.config import Weighting, WeightOutput
from mama_train.objective.health import (
    LOSS_GRID,
    effective_share,
    net_health,
    net_row,
    shape_of,
    truth_row,
    weight_ratio,
    wrong_ratio,
)
from mama_train.objective.weighting import Weigher, WeightNet
from mama_train.report.signs import unhealthy, warning_signs

LOSS_B = torch.tensor([0.1, 0.5, 1.0, 2.0, 4.0, 8.0], dtype=torch.float64)


def net(output: WeightOutput, *, bias: float = 0.0, scale: float = 0.0, seed: int = 0) -> WeightNet:
    """V with an output bias, and output weights of a scale."""
    torch.manual_seed(seed)
    made = WeightNet(16, output).double()
    with torch.no_grad():
        made.out.weight.normal_().mul_(scale)
        if output == "sigmoid":
            made.out.bias.fill_(bias)
        else:  # as a bias would: a first unit that is on for every loss
            made.hidden.weight[0], made.hidden.bias[0], made.out.weight[0, 0] = 0, 1, bias
    return made


def weights(made: WeightNet, loss_B: Tensor = LOSS_B) -> Tensor:
    return Weigher(weighting=Weighting(output=made.output), net=made)(loss_B)


def test_exp_weights_are_a_softmax_of_the_logits() -> None:
    made = net("exp", scale=0.5)
    logit_B = made.logit(LOSS_B)
    torch.testing.assert_close(weights(made), logit_B.exp() / logit_B.exp().sum())
    torch.testing.assert_close(made(LOSS_B), logit_B.exp())


def test_sigmoid_weights_are_those_of_the_paper() -> None:
    made = net("sigmoid", scale=0.5)
    value_B = torch.sigmoid(made.logit(LOSS_B))
    torch.testing.assert_close(weights(made), value_B / value_B.sum())


@pytest.mark.parametrize("output", ["exp", "sigmoid"])
@pytest.mark.parametrize("bias", [-2000.0, 2000.0])
def test_weights_are_finite_and_sum_to_one_for_logits_of_any_size(
    output: WeightOutput, bias: float
) -> None:
    weight_B = weights(net(output, bias=bias, scale=30))
    assert torch.isfinite(weight_B).all()
    assert float(weight_B.sum().detach()) == pytest.approx(1)


def slope(made: WeightNet) -> float:
    """Size of the gradient of one sample's weight in V's parameters."""
    grads = torch.autograd.grad(weights(made)[0], list(made.parameters()))
    return float(sum(g.norm() ** 2 for g in grads) ** 0.5)


def test_a_large_output_kills_a_sigmoid_and_not_exp() -> None:
    """Normalised weights do not feel V's scale, so nothing keeps it from growing."""
    assert slope(net("exp", bias=30.0)) >= slope(net("exp"))
    assert slope(net("sigmoid", bias=30.0)) < 1e-9 * slope(net("sigmoid"))
    assert bool(net("sigmoid", bias=30.0).saturated(LOSS_B).all())
    assert not bool(net("sigmoid").saturated(LOSS_B).any())
    assert not bool(net("exp", bias=30.0).saturated(LOSS_B).any())


def test_without_a_hidden_unit_that_is_on_v_is_saturated() -> None:
    made = net("exp", scale=1.0)
    with torch.no_grad():
        made.hidden.weight.fill_(-1.0)
        made.hidden.bias.fill_(-0.1)
    assert bool(made.saturated(LOSS_B).all())


def test_raw_weights_need_a_bound() -> None:
    with pytest.raises(ValueError, match="weight_output=sigmoid"):
        Weighting(normalised=False)
    assert not Weighting(normalised=False, output="sigmoid").normalised
    assert not Weighting(normalised=False, kind="focal").normalised


def test_effective_share_of_the_batch() -> None:
    assert effective_share(torch.full((5,), 0.2)) == pytest.approx(1)
    assert effective_share(torch.tensor([1.0, 0, 0, 0])) == pytest.approx(0.25)
    assert effective_share(torch.zeros(3)) == 1


def rows(made: WeightNet, *, num: int = 20, share: float | None = None) -> list[dict[str, Any]]:
    """A run's history in which V never changes."""
    weight_B = weights(made).detach()
    points = list(zip(LOSS_B.tolist(), (weight_B * len(weight_B)).tolist(), strict=True))
    row = {
        "kind": "step",
        "loss": 1.0,
        "weight_max": float(weight_B.max()) * len(weight_B),
        "effective_share": effective_share(weight_B) if share is None else share,
        "points": points,
        **net_row(made, LOSS_B, with_curve=True),
    }
    return [row | {"step": i + 1} for i in range(num)]


def advice(history: list[dict[str, Any]]) -> str:
    health = net_health(history)
    assert health is not None
    return unhealthy(health) or ""


def test_a_flat_net_that_has_not_learned_is_told_from_a_saturated_one() -> None:
    for output in ("exp", "sigmoid"):
        health = net_health(rows(net(output)))
        assert health is not None
        assert (health.state, health.dead) == ("has not learned yet", True)
        assert "Train longer" in advice(rows(net(output)))
    saturated = rows(net("sigmoid", bias=30.0, scale=0.1))
    health = net_health(saturated)
    assert health is not None
    assert (health.state, health.dead) == ("saturated", True)
    assert health.logit_max > 20
    assert "weight_output exp" in advice(saturated)
    assert "Train longer" not in advice(saturated)
    assert [s for s in warning_signs(saturated, {}, learned=True) if "saturated" in s]


def test_a_net_that_separates_losses_is_alive_and_one_that_takes_all_has_collapsed() -> None:
    lively = rows(net("exp", scale=0.3))
    health = net_health(lively)
    assert health is not None
    assert (health.state, health.dead) == ("alive", False)
    assert advice(lively) == ""
    assert "Collapsed" in advice(rows(net("exp", scale=0.3), share=0.05))
    assert net_health([{"points": [[1.0, 1.0]]}]) is None


@pytest.mark.parametrize(
    ("curve", "shape", "peak"),
    [
        (np.zeros(len(LOSS_GRID)), "flat", None),
        (LOSS_GRID / 3, "rises", 9.0),
        (-LOSS_GRID, "falls", 0.0),
        (-np.abs(LOSS_GRID - 4), "rises, then falls", 4.0),
        (np.abs(LOSS_GRID - 4.5), "falls, then rises", None),
    ],
)
def test_shapes_of_v(curve: np.ndarray[Any, Any], shape: str, peak: float | None) -> None:
    found, at = shape_of(curve, (0.0, 9.0))
    assert found == shape
    if peak is not None:
        assert at == pytest.approx(peak, abs=0.05)
    # A hump whose ends are equal is not flat.
    assert (weight_ratio(curve, (0.0, 9.0)) < 1.05) == (shape == "flat")


def test_what_wrong_pairs_weigh_is_recorded_where_the_truth_is_known() -> None:
    weight_B = torch.tensor([0.1, 0.3, 0.4, 0.2])
    aligned_B = torch.tensor([False, True, True, False])
    row = truth_row(weight_B, aligned_B)
    assert row == pytest.approx({"wrong_weight": 0.6, "right_weight": 1.4})
    assert truth_row(weight_B, None) == {}
    assert truth_row(weight_B, torch.ones(4, dtype=torch.bool)) == {}
    rows = [row, {}, {"wrong_weight": 0.2, "right_weight": 1.8}]
    assert wrong_ratio(rows) == pytest.approx(0.8 / 3.2)
    assert wrong_ratio([{}]) is None
