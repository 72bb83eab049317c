"""Which GPUs each worker sees: its own ones, or its share of one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mama_augment.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class GpuShare:
    """How much of the GPUs each worker gets."""

    per_worker: float
    """1 or more: that many of its own. Below 1: a part of one; 0.5 puts two workers on each."""
    is_required: bool = False
    """False: where there is no GPU at all, workers run without."""

    def __post_init__(self) -> None:
        number = self.per_worker
        if not 0 < number < math.inf or (number > 1 and number != int(number)):
            raise InputError(
                f"--gpus-per-replica is {number:g}; allowed: fractions above 0 and below 1, or "
                "whole numbers"
            )

    def num_workers_on(self, num_gpus: int) -> int:
        """How many workers `num_gpus` GPUs of one machine have room for."""
        if self.per_worker >= 1:
            return num_gpus // int(self.per_worker)
        return num_gpus * self._num_per_gpu

    def places(self, devices: Sequence[str], num_workers: int) -> tuple[tuple[str, ...], ...]:
        """The devices of each worker, consecutive ones; sharing workers fill one GPU first."""
        assert num_workers <= self.num_workers_on(len(devices)), (self, devices, num_workers)
        if self.per_worker < 1:
            return tuple((devices[n // self._num_per_gpu],) for n in range(num_workers))
        size = int(self.per_worker)
        return tuple(tuple(devices[n * size : (n + 1) * size]) for n in range(num_workers))

    @property
    def _num_per_gpu(self) -> int:
        return math.floor(1 / self.per_worker + 1e-9)


def check_room(share: GpuShare, num_workers: int, gpus_by_machine: Sequence[int]) -> None:
    """Refuse more than there is, rather than wait for it.

    Raises:
        InputError: with what is there.
    """
    room = sum(share.num_workers_on(num_gpus) for num_gpus in gpus_by_machine)
    if room >= num_workers:
        return
    number = sum(gpus_by_machine)
    machines = f" on {len(gpus_by_machine)} machines" if len(gpus_by_machine) > 1 else ""
    way_out = (
        "Lower --replicas or --tensor-parallel, or let replicas share a GPU: --gpus-per-replica "
        "0.5, say"
        if number
        else "To run without a GPU, leave out --gpus-per-replica"
    )
    raise InputError(
        f"--replicas {num_workers} with {share.per_worker:g} GPUs each do not fit: there are "
        f"{number} GPUs{machines}, with room for {room}. {way_out}"
    )


def local_places(share: GpuShare | None, num_workers: int) -> tuple[tuple[str, ...], ...]:
    """The devices of each worker of this machine; none: the workers run in this process.

    A single worker takes the first GPUs that it sees, and needs no process of its own.

    Raises:
        InputError: there are fewer GPUs than the workers need.
    """
    if share is None or (num_workers == 1 and not share.is_required):
        return ()
    devices = visible_devices()
    if not devices and not share.is_required:
        return ()
    check_room(share, num_workers, [len(devices)])
    return share.places(devices, num_workers)


def visible_devices(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    import torch

    number = torch.cuda.device_count()  # asks the driver, and starts nothing on a GPU
    named = environment.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(number)] if named is None else named.split(",")
    return [name.strip() for name in names[:number]]
