"""From shards to batches: decode, tokenize, and follow the visit plan from any position."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from mama_augment.core.errors import InputError
from mama_train import ranks
from mama_train.config import VisitKind
from mama_train.data.batch import Batch, keys, same_text
from mama_train.data.frames import augment, choose_frames, decode_frames
from mama_train.data.shards import Caption, ClipRows, SplitIndex
from mama_train.data.visits import VisitPlan, hash_salt, keep_share, mix, plan_epoch
from mama_train.models.base import FrameSpec
from mama_train.models.tokenizer import TextTokenizer

CACHE_BYTES = 2 * 2**30
"""Decoded frames of a split are kept in memory when all of them fit into this."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where training stands in the data: the next batch to take."""

    epoch: int = 0
    batch: int = 0


Request = tuple[NDArray[np.int64], int | None]
"""Visits [B,2] of (clip row, caption index), and the salt of the draws (None: no augmentation)."""


class BatchSource(Dataset[Batch]):
    """Batches by request."""

    def __init__(
        self,
        index: SplitIndex,
        spec: FrameSpec,
        tokenizer: TextTokenizer,
        frequency: dict[int, int],
        *,
        cache: bool,
        augment: float = 0.0,
        num_groups_kept: int = 4,
    ) -> None:
        """`frequency`: training captions per concept id. `augment`: strength of it."""
        self.rows = ClipRows(index, num_groups_kept=num_groups_kept)
        self.spec = spec
        self.tokenizer = tokenizer
        self.frequency = frequency
        self._rank, self._num_ranks = ranks.rank(), ranks.world()
        self.augment = augment
        self._cache: dict[int, NDArray[np.uint8]] | None = {} if cache else None
        self._captions: dict[int, tuple[str, list[Caption]]] | None = {} if cache else None

    def video(self, row: int, draw: int | None = None) -> NDArray[np.uint8]:
        """[T,H,W,3] of a clip; with a `draw`, the frames are chosen by it."""
        wanted = self.spec.num_frames
        if self._cache is None:
            files = self.rows.frames(row)
            which = choose_frames(len(files), wanted, draw)
            return decode_frames(files, which, self.spec, clip_id=self.rows.clip_id(row))
        if row not in self._cache:
            files = self.rows.frames(row)
            every = np.arange(len(files))
            self._cache[row] = decode_frames(
                files, every, self.spec, clip_id=self.rows.clip_id(row)
            )
        stored = self._cache[row]
        return stored[choose_frames(len(stored), wanted, draw)]

    def texts(self, row: int) -> tuple[str, list[Caption]]:
        """(clip id, its captions)."""
        if self._captions is None:
            return self.rows.clip_id(row), self.rows.captions(row)
        if row not in self._captions:
            self._captions[row] = self.rows.clip_id(row), self.rows.captions(row)
        return self._captions[row]

    def __getitem__(self, request: Request) -> Batch:
        visits, salt = request
        clip_ids, captions = [], []
        for row, caption in visits.tolist():
            clip_id, of_clip = self.texts(row)
            clip_ids.append(clip_id)
            captions.append(of_clip[caption])
        mine = ranks.rows_of(len(visits), self._rank, self._num_ranks)
        draws = None if salt is None else mix(visits[:, 0] << 20 | visits[:, 1], salt)
        texts = [c.text for c in captions]
        ids, mask = self.tokenizer.encode(texts[mine])
        size, frames = self.spec.size_px, self.spec.num_frames
        video = np.empty((mine.stop - mine.start, frames, size, size, 3), np.uint8)
        for i, place in enumerate(range(mine.start, mine.stop)):
            row = int(visits[place, 0])
            if draws is None:
                video[i] = self.video(row)
            else:
                draw = int(draws[place]) >> 2
                video[i] = augment(self.video(row, draw), self.augment, draw)
        return Batch(
            video=torch.from_numpy(video),
            input_ids_BS=ids,
            mask_BS=mask,
            clip_key_B=keys(clip_ids),
            text_key_B=keys([same_text(t) for t in texts]),
            frequency_B=torch.tensor([self._rarest(c) for c in captions]),
            clip_ids=tuple(clip_ids),
        )

    def _rarest(self, caption: Caption) -> float:
        counts = [self.frequency.get(c, 0) for c in caption.concept_ids]
        return float(min(counts)) if counts else float("nan")


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """batch_size counts the rows of all processes together. num_workers: decoding processes per
    training process; none when the decoded split fits into memory. window_clips: clips that are
    shuffled together while streaming; each decoding process holds their JPEG files in memory."""

    batch_size: int = 32
    num_workers: int = 0
    window_clips: int = 1024
    visit: VisitKind = "caption"
    human_share: float | None = None
    augment: float = 0.0
    seed: int = 0


class Loader:
    """Batches of a split, epoch after epoch, from any position, in an order that only the seed
    and the shards decide."""

    def __init__(
        self,
        index: SplitIndex,
        spec: FrameSpec,
        tokenizer: TextTokenizer,
        frequency: dict[int, int],
        config: LoaderConfig,
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`cache_bytes`: a split whose decoded frames are smaller is kept in memory."""
        self.index = index
        self.config = config
        self.in_memory = decoded_bytes(index, spec) <= cache_bytes
        self.clips = BatchSource(
            index,
            spec,
            tokenizer,
            frequency,
            cache=self.in_memory,
            augment=config.augment,
            num_groups_kept=groups_in_window(index, config.window_clips) + 2,
        )

    def plan(self, epoch: int) -> VisitPlan:
        kept: Any = slice(None)
        if self.config.human_share is not None:
            salt = hash_salt(self.config.seed, epoch, "sources")
            kept = keep_share(self.index.is_generated_C, self.config.human_share, salt)
        return plan_epoch(
            self.index.clip_C[kept],
            self.index.caption_C[kept],
            self.index.group_R,
            seed=self.config.seed,
            epoch=epoch,
            batch_size=self.config.batch_size,
            window_clips=self.config.window_clips,
            visit=self.config.visit,
        )

    def batches(self, start: Position = Position()) -> Iterator[tuple[Position, Batch]]:
        """Endless (position after this batch, batch)."""
        epoch, first = start.epoch, start.batch
        while True:
            plan = self.plan(epoch)
            if not len(plan):
                raise InputError(
                    f"{self.index.uri!r} has no {self.index.split} captions to visit (human_share "
                    f"{self.config.human_share})"
                )
            salt = hash_salt(self.config.seed, epoch, "draws") if self.config.augment else None
            todo: list[Request] = [(plan.batch(i), salt) for i in range(first, len(plan))]
            for i, batch in enumerate(self._load(todo), start=first):
                is_last = i + 1 == len(plan)
                after = Position(epoch=epoch + 1) if is_last else Position(epoch=epoch, batch=i + 1)
                yield after, batch
            epoch, first = epoch + 1, 0

    def _load(self, todo: list[Request]) -> Iterator[Batch]:
        if self.config.num_workers == 0 or self.in_memory:
            yield from (self.clips[request] for request in todo)
            return
        loader: DataLoader[Any] = DataLoader(
            self.clips,
            sampler=todo,
            batch_size=None,
            num_workers=self.config.num_workers,
            worker_init_fn=_ignore_interrupts,
        )
        yield from loader


STORED_FRAMES = 12
"""Frames per clip that are assumed when memory is estimated."""


def decoded_bytes(index: SplitIndex, spec: FrameSpec) -> int:
    """Memory for all frames of a split at the model's size, about."""
    return index.num_clips * max(spec.num_frames, STORED_FRAMES) * spec.size_px**2 * 3


def groups_in_window(index: SplitIndex, window_clips: int) -> int:
    """The most row groups that a window of the visit plan can hold."""
    smallest_first = np.cumsum(sorted(rows for _, _, rows in index.groups))
    return int(np.searchsorted(smallest_first, window_clips)) + 1


def concept_frequency(concepts: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Training captions per concept id, after balancing."""
    return {int(c["id"]): int(c["num_after"]) for c in concepts}


def _ignore_interrupts(_worker: int) -> None:
    """In a decoding worker, which gets the terminal's Ctrl-C too: its process decides for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
