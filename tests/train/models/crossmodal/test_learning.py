"""Both models learn what only the video tells, from nothing, and answer it for new videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mama_train.models.vgt.config import Regions, VgtConfig
from mama_train.models.vgt.model import Vgt
from mama_train.models.violet.config import VioletConfig
from mama_train.models.violet.model import Violet
from tests.train.models.crossmodal.meta import Answering, answer_loss
from tests.train.models.vgt.conftest import tiny_config
from tests.train.models.violet.conftest import tiny_violet

Batch = tuple[tuple[Any, Tensor, Tensor], Tensor]
NUM_KINDS = 4


def learned(model: Any, batch: Callable[[int], Batch], *, steps: int, lr: float) -> float:
    """Share of 200 new items that are answered rightly."""
    module: nn.Module = Answering(model).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr)
    for step in range(steps):
        inputs, answer = batch(step)
        optimizer.zero_grad()
        answer_loss(module(*inputs), answer).mean().backward()
        optimizer.step()
    module.eval()
    inputs, answer = batch(10**6)
    with torch.no_grad():
        return float((module(*inputs).argmax(1) == answer).float().mean())


def test_vgt_tells_which_object_there_is() -> None:
    """Options are kinds in any order; the kind is in one region of five, at any place."""

    def batch(seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        num = 200 if seed == 10**6 else 16
        kind = torch.randint(NUM_KINDS, (num,), generator=generator)
        region = 0.3 * torch.randn(num, 2, 2, 5, 24, generator=generator)
        place = torch.randint(5, (num,), generator=generator)
        region[torch.arange(num), :, :, place, kind] += 3.0
        box = torch.rand(num, 2, 2, 5, 5, generator=generator)
        frame = torch.randn(num, 2, 2, 24, generator=generator)
        order = torch.rand(num, NUM_KINDS, generator=generator).argsort(1)
        ids = torch.stack([torch.full_like(order, 1), order + 10, torch.full_like(order, 2)], -1)
        answer = (order == kind[:, None]).long().argmax(1)
        return (Regions(region, box, frame), ids, torch.ones_like(ids)), answer

    torch.manual_seed(0)
    config: VgtConfig = tiny_config()
    assert learned(Vgt(config), batch, steps=140, lr=3e-4) > 0.9


def test_violet_tells_colours() -> None:
    """Open: the question is the same for all, and the answer is a class."""

    def batch(seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        num = 200 if seed == 10**6 else 16
        kind = torch.randint(3, (num,), generator=generator)
        video = 0.5 * torch.randn(num, 3, 3, 32, 32, generator=generator)
        video[torch.arange(num), :, kind, 8:20, 8:20] += 2.0
        ids = torch.tensor([[1, 7, 8, 2]]).expand(num, -1)
        return (video, ids, torch.ones_like(ids)), kind

    config: VioletConfig = tiny_violet().config
    torch.manual_seed(0)
    assert learned(Violet(config), batch, steps=60, lr=3e-3) > 0.9
