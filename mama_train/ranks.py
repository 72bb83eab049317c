"""The few collectives that training needs; each is the identity in a single process.

Gradients are summed by hand instead of through a DistributedDataParallel wrapper, because the
wrapper supports neither forward-mode AD nor several backward passes over one graph.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def start(device: torch.device) -> None:
    """Join the process group that torchrun describes in the environment, if it does; collectives
    use `device`."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes files and talks."""
    return rank() == 0


def share(num_rows: int, *, of_rank: int | None = None) -> slice:
    """This rank's contiguous rows of a global batch; sizes differ by at most one."""
    return rows_of(num_rows, rank() if of_rank is None else of_rank, world())


def rows_of(num_rows: int, of_rank: int, num_ranks: int) -> slice:
    """`share` for when there is no process group to ask, as in a decoding worker."""
    return slice(num_rows * of_rank // num_ranks, num_rows * (of_rank + 1) // num_ranks)


def gather(local: Tensor, num_rows: int) -> Tensor:
    """The global [num_rows, ...] tensor of which this rank holds the rows `share(num_rows)`.

    Plain tensors only: no gradient flows through (the caller splits its backward at this point).
    """
    assert not local.requires_grad
    if world() == 1:
        return local
    sizes = [share(num_rows, of_rank=r) for r in range(world())]
    longest = max(s.stop - s.start for s in sizes)
    padded = local.new_zeros((longest, *local.shape[1:]))
    padded[: len(local)] = local
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[: s.stop - s.start] for part, s in zip(parts, sizes, strict=True)])


def sum_in_place(tensors: Sequence[Tensor]) -> None:
    """Sum each tensor over all ranks, in one flat collective per dtype."""
    if world() == 1:
        return
    for dtype in {t.dtype for t in tensors}:
        group = [t for t in tensors if t.dtype == dtype]
        flat = torch.cat([t.reshape(-1) for t in group])
        dist.all_reduce(flat)
        for t, part in zip(group, flat.split([t.numel() for t in group]), strict=True):
            t.copy_(part.view_as(t))


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any rank."""
    if world() == 1:
        return flag
    flags = torch.tensor(flag, dtype=torch.int32, device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def barrier() -> None:
    """Wait for all processes."""
    if world() > 1:
        dist.barrier()
