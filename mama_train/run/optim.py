"""AdamW groups, the learning-rate schedule, clipping, and the moving average of parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from mama_train.models.base import DualEncoder
from mama_train.objective.config import Weighting
from mama_train.objective.objective import SCALE
from mama_train.objective.passes import Named
from mama_train.run.config import OptimConfig


def settled(optim: OptimConfig, model: DualEncoder) -> OptimConfig:
    """`optim` with the learning rate that is used where none is given."""
    return dataclasses.replace(optim, lr=optim.lr or model.usual_lr)


def make_optimizer(
    model: nn.Module, optim: OptimConfig, scales: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """AdamW over the trained parameters. Matrices decay; norms, biases, single vectors, embedding
    tables and the scale do not. `scales`: a parameter's share of the learning rate, which its
    group keeps as `lr_scale`; 1 of all by default."""
    assert optim.lr is not None
    members: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_table = "embedding" in name and "patch_embedding" not in name
        decays = not (parameter.ndim < 2 or is_table or name == SCALE)
        scale = 1.0 if scales is None else scales[name]
        members.setdefault((scale, decays), []).append(parameter)
    groups = [
        {
            "params": members[scale, decays],
            "weight_decay": optim.weight_decay if decays else 0.0,
            "lr": optim.lr * scale,
            "lr_scale": scale,
        }
        for scale, decays in sorted(members, reverse=True)
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, betas=(optim.beta1, optim.beta2), eps=1e-8)


def lr_scales(model: DualEncoder, optim: OptimConfig, new: Collection[str]) -> dict[str, float]:
    """Each parameter's share of the learning rate: layer_decay to the power of its depth, or
    lr_new of what starts anew."""
    return {
        name: optim.lr_new if name in new else optim.layer_decay ** model.depth_of(name)
        for name, _ in model.named_parameters()
    }


def make_net_optimizer(net: nn.Module, weighting: Weighting) -> torch.optim.AdamW:
    """AdamW of the weight net, with a shorter memory than usual: the sizes of meta gradients
    change a lot early on."""
    return torch.optim.AdamW(
        net.parameters(), lr=weighting.lr, betas=(0.9, 0.98), weight_decay=weighting.decay
    )


def num_warmup_steps(optim: OptimConfig, num_steps: int) -> int:
    """Steps in which the learning rate rises, which may be more than the run has."""
    return int(optim.warmup if optim.warmup >= 1 else optim.warmup * num_steps)


def lr_at(step: int, num_steps: int, optim: OptimConfig) -> float:
    """The learning rate of a step (counted from 0), a function of nothing else: a straight line up
    to the peak, then down to the floor, which a step after the last one would have."""
    assert optim.lr is not None
    num_warmup = num_warmup_steps(optim, num_steps)
    if step < num_warmup:
        return optim.lr * (step + 1) / num_warmup
    done = (step - num_warmup) / max(1, num_steps - num_warmup)
    height = {
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "linear": 1 - done,
        "constant": 1.0,
    }[optim.schedule]
    return optim.lr * (optim.lr_floor + (1 - optim.lr_floor) * height)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of a step, of which each group takes its share."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def clip_gradient(model: nn.Module, gradient: Named, max_norm: float) -> float:
    """Put the clipped gradient into place; returns its norm before clipping, which may not be
    finite: then no step should be taken."""
    for name, parameter in model.named_parameters():
        parameter.grad = gradient.get(name)
    return float(nn.utils.clip_grad_norm_(model.parameters(), max_norm))


def scale_bounds(max_logit_scale: float) -> tuple[float, float]:
    """Between which values the logarithm of the inverse temperature is kept."""
    return 0.0, math.log(max_logit_scale)


def take_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, max_logit_scale: float
) -> None:
    """Step along the gradient in place, and keep the inverse temperature from 1 to its bound,
    unless it is frozen."""
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    scale = model.get_parameter(SCALE)
    if scale.requires_grad:
        with torch.no_grad():
            scale.clamp_(*scale_bounds(max_logit_scale))


class MovingAverage:
    """An exponential moving average of parameters, which can take their place for a while."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {n: p.detach().clone() for n, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's values after `step` (counted from 0)."""
        # Early on, a long memory would be mostly the initial values.
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            self.values[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        """Exchange the average with the model's own values, in place; the second call undoes it.

        `parameters`: (name, parameter) of the model that the average was made of, each in its own
        shape, as `named_parameters` gives them.
        """
        for name, parameter in parameters:
            held = parameter.clone()
            parameter.copy_(self.values[name])
            self.values[name] = held
