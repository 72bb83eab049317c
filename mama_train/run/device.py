"""The device and the precision of a run, as torch knows them."""

from __future__ import annotations

import os

import torch

from mama_augment.core.errors import InputError
from mama_train.run.config import Precision


def torch_device(name: str) -> torch.device:
    """The device of a name: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: there is no such device, or not here.
    """
    try:
        device = torch.device(_best() if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is unknown; allowed: auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and device.index is None:
        # Under torchrun every process of a machine has a GPU of its own.
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        _check_gpu(name, device.index)
    return device


def _best() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast_dtype(precision: Precision) -> torch.dtype | None:
    """What the encoders compute in; None: as their parameters are."""
    return torch.bfloat16 if precision == "bf16" else None


def _check_gpu(asked: str, index: int) -> None:
    if not torch.cuda.is_available():
        raise InputError(f"device {asked!r}: torch finds no CUDA GPU here; give auto or cpu")
    if index >= (num := torch.cuda.device_count()):
        raise InputError(f"device {asked!r}: there is no GPU {index}; allowed: 0 to {num - 1}")
