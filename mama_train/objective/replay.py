"""Passes that agree although the model draws random numbers, or keeps averages of what it sees.

Dropout and DropPath: the derivative of a forward pass in forward mode, and the second forward pass
of cached features, must draw what the first pass drew. So the state of the generators before a pass
is kept, and put back for its replays.

BatchNorm: only the forward pass of the training batch may move its averages. All other passes get
copies of the model's buffers, which are thrown away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The state of torch's generators: of the CPU and, where there is one, of a GPU."""

    device: torch.device
    cpu: Tensor
    gpu: Tensor | None

    @staticmethod
    def now(device: torch.device) -> Draws:
        """As they are before a pass on a device."""
        is_gpu = device.type == "cuda"
        gpu = torch.cuda.get_rng_state(device) if is_gpu else None
        return Draws(device=device, cpu=torch.get_rng_state(), gpu=gpu)

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Inside, the same numbers are drawn again; afterwards, whatever comes next."""
        with torch.random.fork_rng([] if self.gpu is None else [self.device]):
            torch.set_rng_state(self.cpu)
            if self.gpu is not None:
                torch.cuda.set_rng_state(self.gpu, self.device)
            yield


@contextlib.contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Inside, buffers may move; afterwards they are as before."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in before:
            if not torch.equal(buffer, value):
                buffer.copy_(value)


def call_with_copies(model: nn.Module, parameters: Mapping[str, Tensor], inputs: Any) -> Any:
    """model(*inputs) with some parameters replaced, which leaves its buffers as they are."""
    copies = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return functional_call(model, {**copies, **parameters}, inputs)
