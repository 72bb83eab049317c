"""Adapters of low rank (LoRA, arXiv 2106.09685) by `peft`, in linear layers of the towers.

    y = W x + (α/r) B A x      A: r × in, drawn; B: out × r, zero at the start; W stays as it is

`peft` puts each layer into one of its own, as its `base_layer`. Checkpoints hold the sums
W + (α/r) B A under the layers' own names, so that everything reads them as any other model, and the
parts beside them, for continuing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mama_augment.core.errors import InputError, did_you_mean
from mama_train.models.base import DualEncoder
from mama_train.models.config import ModelConfig

BASE, ADAPTER = ".base_layer.", ".lora_"


def add_adapters(model: DualEncoder, config: ModelConfig, new: list[str]) -> list[str]:
    """Put adapters into the towers that are not frozen and have targets; returns their names.

    The rest of such a tower is no longer trained, but for what starts anew; a tower without targets
    is trained as a whole. Draws from torch's generator.

    Raises:
        InputError: `peft` is not installed, the model has no towers, or no layer of such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError("--lora needs the package peft: pip install 'mama-video[lora]'") from error
    assert config.lora is not None
    towers = {kind: t for kind, t in model.towers().items() if kind not in config.frozen_towers}
    targets = {kind: config.lora_targets(kind) for kind in towers}
    adapted = [tower for kind, tower in towers.items() if targets[kind]]
    names = [name for kind in towers for name in _layers(model, config, kind, targets[kind])]
    if not names:
        raise InputError(
            f"--lora finds no tower to adapt in {type(model).__name__}: its towers are frozen, "
            "have no targets (--lora-vision, --lora-text), or the model does not say what they are"
        )
    was_trained = {name: p.requires_grad for name, p in model.named_parameters()}
    inject_adapter_in_model(
        LoraConfig(
            r=config.lora, lora_alpha=config.lora_alpha or config.lora, target_modules=names
        ),
        model,
    )
    found = []
    for name, parameter in model.named_parameters():
        if is_adapter := ADAPTER in name:
            found.append(name)
        plain = plain_name(name)
        keeps = plain in new or not any(tower.holds(plain) for tower in adapted)
        parameter.requires_grad_(is_adapter or (keeps and was_trained[plain]))
    return found


def _layers(
    model: DualEncoder, config: ModelConfig, kind: Any, targets: tuple[str, ...]
) -> list[str]:
    """Full names of a tower's linear layers whose last part is a target."""
    tower = model.towers()[kind]
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and tower.holds(n)]
    last = sorted({name.rpartition(".")[2] for name in linear})
    for target in targets:
        if target not in last:
            raise InputError(
                f"lora_{kind} has {target!r}, but {type(model).__name__}: "
                f"{did_you_mean(target, last)}"
            )
    return [name for name in linear if name.rpartition(".")[2] in targets]


def has_adapters(model: nn.Module) -> bool:
    """Whether `add_adapters` was here."""
    return any(ADAPTER in name for name, _ in model.named_parameters())


def plain_name(name: str) -> str:
    """The name of a parameter in the model without adapters."""
    return name.replace(BASE, ".")


@torch.no_grad()
def merged_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state of the model without adapters that computes the same."""
    tensors = model.state_dict()
    if not has_adapters(model):
        return tensors
    for name, module in model.named_modules():
        layer: Any = module
        if hasattr(layer, "get_delta_weight"):
            key = f"{name}{BASE}weight"
            tensors[key] = tensors[key] + layer.get_delta_weight("default").to(tensors[key].dtype)
    return {plain_name(n): t for n, t in tensors.items() if ADAPTER not in n}


@torch.no_grad()
def load_merged(model: nn.Module, merged: Mapping[str, Tensor]) -> None:
    """Make the model compute what a merged state does: its weights, and adapters that add 0."""
    if not has_adapters(model):
        model.load_state_dict(merged)
        return
    model.load_state_dict(
        {
            name: (torch.zeros_like(now) if ".lora_B." in name else now)
            if ADAPTER in name
            else merged[plain_name(name)]
            for name, now in model.state_dict().items()
        }
    )
