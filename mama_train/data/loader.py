"""Batches of a split, epoch after epoch: the order of visits followed from any position, here or by
decoding processes that work ahead of training.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mama_augment.core.draws import hash_salt
from mama_augment.core.errors import InputError
from mama_train.data.batch import Batch
from mama_train.data.config import DataConfig
from mama_train.data.frames import TRAIN_FRAMES
from mama_train.data.grouping import drawn_concepts
from mama_train.data.index import SplitIndex, groups_in_window
from mama_train.data.rows import concept_lists, keep_probabilities
from mama_train.data.source import BatchSource, Floats, Request, SourceMaker, open_rows, reader_of
from mama_train.data.visits import (
    EpochOrder,
    ToVisit,
    Visit,
    keep_share,
    keep_weighted,
    order_epoch,
)
from mama_train.models.base import ClipSpec
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer

Place = TypeVar("Place")


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where training stands in the data: the next batch to take, and the visits, as (clip row,
    caption index), that the epoch before left to this one."""

    epoch: int = 0
    batch: int = 0
    carried: tuple[Visit, ...] = ()

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Position:
        """A position of its fields as JSON has them."""
        carried = tuple((row, caption) for row, caption in fields.get("carried", ()))
        return cls(**{**fields, "carried": carried})


class Loader:
    """Batches of a split, epoch after epoch, from any position, in an order that only the seed
    and the shards decide."""

    def __init__(
        self,
        index: SplitIndex,
        spec: ClipSpec,
        tokenizer: TextTokenizer,
        frequency: dict[int, int],
        data: DataConfig,
        *,
        seed: int,
        agreements: Floats | None = None,
        make: SourceMaker = BatchSource,
    ) -> None:
        """`spec`, `tokenizer`: what the model takes. `frequency`, `agreements`: as in
        `BatchSource`, which `make` is, or a kind of it."""
        self.index = index
        self.data = data
        self.seed = seed
        num_bytes = index.num_clips * reader_of(spec, index).bytes_per_clip
        self.in_memory = num_bytes <= data.cache_bytes
        self.concepts = concept_lists(index) if data.batches == "by-concept" else None
        has_more = isinstance(spec, FrameSpec) and index.has_column(TRAIN_FRAMES)
        self.draws_frames = data.frame_choice == "drawn" or (
            data.frame_choice == "auto" and (data.augment > 0 or has_more)
        )
        is_weighted = data.visit == "weighted"
        self.keep_C = keep_probabilities(index)[index.number_C] if is_weighted else None
        num_groups = groups_in_window(index, data.window_clips) + 2
        self.clips = make(
            open_rows(index, spec, num_groups_kept=num_groups),
            spec,
            tokenizer,
            frequency,
            cache=self.in_memory,
            augment=data.augment,
            draw_frames=self.draws_frames,
            agreements=agreements,
        )

    def epoch(self, number: int, carried: Sequence[Visit] = ()) -> EpochOrder:
        """The batches of an epoch, in order, behind what the one before left over."""
        concept_C = None
        if self.concepts is not None:
            salt = hash_salt(self.seed, number, "concepts")
            concept_C = drawn_concepts(self.concepts, self.index.number_C, salt)
        what = ToVisit(
            clip_C=self.index.clip_C,
            caption_C=self.index.caption_C,
            group_R=self.index.group_R,
            concept_C=concept_C,
        )
        drawn: Any = slice(None)
        if self.keep_C is not None:
            # Before the sources: else their share would not be what is asked for.
            salt = hash_salt(self.seed, number, "weighted")
            drawn = keep_weighted(self.keep_C, self.index.number_C, salt)
            what = what.only(drawn)
        if self.data.human_share is not None:
            salt = hash_salt(self.seed, number, "sources")
            is_generated_C = self.index.is_generated_C[drawn]
            what = what.only(keep_share(is_generated_C, self.data.human_share, salt))
        return order_epoch(what, self.data, seed=self.seed, epoch=number, carried=carried)

    def batches(
        self, start: Position = Position(), *, pinned: bool = False
    ) -> Iterator[tuple[Position, Batch]]:
        """Endless (position after this batch, batch).

        Decoding processes, where there are any, work ahead over the ends of epochs until the
        iterator is closed; `pinned` as in `load_ahead`.

        Raises:
            InputError: an epoch has no captions to visit, or a clip has no frames to decode.
        """
        requests = self._requests(start)
        if self.data.num_workers > 0 and not self.in_memory:
            yield from load_ahead(self.clips, requests, self.data, pinned=pinned)
        for position, request in requests:
            yield position, self.clips[request]

    def _requests(self, start: Position) -> Iterator[tuple[Position, Request]]:
        """Endless (position after a batch, what it is made of)."""
        number, first, carried = start.epoch, start.batch, start.carried
        while True:
            order = self.epoch(number, carried)
            if not len(order):
                raise InputError(
                    f"{self.index.uri!r} has no {self.index.split} captions to visit (human_share "
                    f"{self.data.human_share})"
                )
            draws = self.data.augment > 0 or self.draws_frames
            salt = hash_salt(self.seed, number, "draws") if draws else None
            following = Position(epoch=number + 1, carried=order.left)
            for i in range(first, len(order)):
                here = Position(epoch=number, batch=i + 1, carried=carried)
                yield (here if i + 1 < len(order) else following), (order.batch(i), salt)
            number, first, carried = number + 1, 0, order.left


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
