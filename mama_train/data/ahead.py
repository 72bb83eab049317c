"""Batches that decoding processes make ahead of the training that takes them."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mama_train.data.batch import Batch
from mama_train.data.config import DataConfig

Place = TypeVar("Place")


def load_ahead(
    clips: Dataset[Batch], requests: Iterator[tuple[Place, Any]], data: DataConfig, *, pinned: bool
) -> Iterator[tuple[Place, Batch]]:
    """What `requests` ask of `clips`, in their order, each beside the place that comes with it.

    The processes are started once and live until the iterator is closed. `pinned`: the batches
    lie in pinned memory, from which copies to a GPU do not wait.
    """
    asked: deque[Place] = deque()

    def keys() -> Iterator[Any]:
        for place, request in requests:
            asked.append(place)
            yield request

    loader: DataLoader[Any] = DataLoader(
        clips,
        sampler=_Once(keys()),
        batch_size=None,
        num_workers=data.num_workers,
        prefetch_factor=data.prefetch_factor,
        pin_memory=pinned,
        worker_init_fn=_ignore_interrupts,
        # It draws a seed for its workers, which must not move what a step draws.
        generator=torch.Generator(),
    )
    for batch in loader:
        yield asked.popleft(), batch


class _Once(Sampler[Any]):
    """A sampler of what an iterator gives."""

    def __init__(self, keys: Iterator[Any]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[Any]:
        return self.keys


def _ignore_interrupts(_worker: int) -> None:
    """In a decoding process, which gets the terminal's Ctrl-C too: its parent decides for it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
