"""From shards to batches: decode, tokenize, and follow the visit plan from any position."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mama_augment.schema import InputError
from mama_train import ranks
from mama_train.batch import Batch, keys, same_text
from mama_train.config import VisitKind
from mama_train.models.base import FrameSpec
from mama_train.shards import Caption, ClipRows, SplitIndex
from mama_train.text import TextTokenizer
from mama_train.visits import VisitPlan, hash_salt, keep_share, plan_epoch

CACHE_BYTES = 2 * 2**30
"""Decoded frames of a split are kept in memory when all of them fit into this."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where training stands in the data: the next batch to take."""

    epoch: int = 0
    batch: int = 0


def decode_clip(frames: Sequence[bytes], spec: FrameSpec, *, clip_id: str) -> NDArray[np.uint8]:
    """[T,H,W,3] RGB: T frames evenly from those there are (repeated when fewer), made square.

    Raises:
        InputError: a frame is no readable image, or there is none.
    """
    if not frames:
        raise InputError(f"clip {clip_id!r} has no frames; make the shards again")
    chosen = np.linspace(0, len(frames) - 1, spec.num_frames).round().astype(int)
    decoded = {int(i): _decode_frame(frames[i], spec, clip_id) for i in np.unique(chosen)}
    return np.stack([decoded[int(i)] for i in chosen])


def _decode_frame(jpeg: bytes, spec: FrameSpec, clip_id: str) -> NDArray[np.uint8]:
    size_px = spec.size_px
    try:
        image = Image.open(io.BytesIO(jpeg))
        # The decoder itself can shrink by powers of two: several times faster than a full decode.
        image.draft("RGB", (size_px, size_px))
        pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise InputError(f"clip {clip_id!r} has a frame that cannot be read: {error}") from error
    height, width = pixels.shape[:2]
    scale = size_px / min(height, width)
    if spec.fit == "stretch":
        return cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA)
    wide, high = max(size_px, round(width * scale)), max(size_px, round(height * scale))
    if (wide, high) != (width, height):
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (wide, high), interpolation=kind)
    top, left = (high - size_px) // 2, (wide - size_px) // 2
    return pixels[top : top + size_px, left : left + size_px]


class Clips(Dataset[Batch]):
    """Batches by their visits: arrays [B,2] of (clip row, caption index)."""

    def __init__(
        self,
        index: SplitIndex,
        spec: FrameSpec,
        tokenizer: TextTokenizer,
        frequency: dict[int, int],
        *,
        cache: bool,
        num_groups_kept: int = 4,
    ) -> None:
        """`frequency`: training captions per concept id."""
        self.rows = ClipRows(index, num_groups_kept=num_groups_kept)
        self.spec = spec
        self.tokenizer = tokenizer
        self.frequency = frequency
        self._rank, self._num_ranks = ranks.rank(), ranks.world()
        self._cache: dict[int, NDArray[np.uint8]] | None = {} if cache else None
        self._captions: dict[int, tuple[str, list[Caption]]] | None = {} if cache else None

    def video(self, row: int) -> NDArray[np.uint8]:
        if self._cache is None:
            return self._decode(row)
        if row not in self._cache:
            self._cache[row] = self._decode(row)
        return self._cache[row]

    def _decode(self, row: int) -> NDArray[np.uint8]:
        return decode_clip(self.rows.frames(row), self.spec, clip_id=self.rows.clip_id(row))

    def texts(self, row: int) -> tuple[str, list[Caption]]:
        """(clip id, its captions)."""
        if self._captions is None:
            return self.rows.clip_id(row), self.rows.captions(row)
        if row not in self._captions:
            self._captions[row] = self.rows.clip_id(row), self.rows.captions(row)
        return self._captions[row]

    def __getitem__(self, visits: NDArray[np.int64]) -> Batch:
        clip_ids, captions = [], []
        for row, caption in visits.tolist():
            clip_id, of_clip = self.texts(row)
            clip_ids.append(clip_id)
            captions.append(of_clip[caption])
        mine = ranks.rows_of(len(visits), self._rank, self._num_ranks)
        own_rows = visits[mine, 0].tolist()
        texts = [c.text for c in captions]
        ids, mask = self.tokenizer.encode(texts[mine])
        size, frames = self.spec.size_px, self.spec.num_frames
        video = np.empty((len(own_rows), frames, size, size, 3), np.uint8)
        for i, row in enumerate(own_rows):
            video[i] = self.video(row)
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
        self.clips = Clips(
            index,
            spec,
            tokenizer,
            frequency,
            cache=self.in_memory,
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
            todo = [plan.batch(i) for i in range(first, len(plan))]
            for i, batch in enumerate(self._load(todo), start=first):
                is_last = i + 1 == len(plan)
                after = Position(epoch=epoch + 1) if is_last else Position(epoch=epoch, batch=i + 1)
                yield after, batch
            epoch, first = epoch + 1, 0

    def _load(self, todo: list[NDArray[np.int64]]) -> Iterator[Batch]:
        if self.config.num_workers == 0 or self.in_memory:
            yield from (self.clips[visits] for visits in todo)
            return
        loader: DataLoader[Any] = DataLoader(
            self.clips,
            sampler=todo,
            batch_size=None,
            num_workers=self.config.num_workers,
        )
        yield from loader


def decoded_bytes(index: SplitIndex, spec: FrameSpec) -> int:
    return index.num_clips * spec.num_frames * spec.size_px**2 * 3


def groups_in_window(index: SplitIndex, window_clips: int) -> int:
    """The most row groups that a window of the visit plan can hold."""
    smallest_first = np.cumsum(sorted(rows for _, _, rows in index.groups))
    return int(np.searchsorted(smallest_first, window_clips)) + 1


def concept_frequency(concepts: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Training captions per concept id, after balancing."""
    return {int(c["id"]): int(c["num_after"]) for c in concepts}
