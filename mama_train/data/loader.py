"""From shards to batches: decode, tokenize, and follow the order of visits from any position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mama_augment.core.draws import hash_salt, mix
from mama_augment.core.errors import InputError, did_you_mean
from mama_augment.core.schema import SPLITS
from mama_train import ranks
from mama_train.data.ahead import load_ahead
from mama_train.data.batch import Batch, keys, same_text
from mama_train.data.config import DataConfig
from mama_train.data.features import FeatureReader
from mama_train.data.frames import KEY_FRAMES, TRAIN_FRAMES, FrameReader, choose_frames
from mama_train.data.grouping import drawn_concepts
from mama_train.data.index import SplitIndex, groups_in_window, read_index
from mama_train.data.rows import Caption, ClipRows, concept_lists, keep_probabilities
from mama_train.data.visits import (
    EpochOrder,
    ToVisit,
    Visit,
    keep_share,
    keep_weighted,
    order_epoch,
)
from mama_train.models.base import ClipSpec, FeatureSpec, FrameSpec
from mama_train.models.tokenizer import TextTokenizer

Floats = NDArray[np.float64]
Clip = NDArray[Any]
"""What a model sees of a clip: [T,H,W,3] pixels, or [T,width] features."""


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


Request = tuple[NDArray[np.int64], int | None]
"""Visits [B,2] of (clip row, caption index), and the salt of the draws (None: no augmentation)."""


class BatchSource(Dataset[Batch]):
    """Batches by request."""

    def __init__(
        self,
        rows: ClipRows,
        spec: ClipSpec,
        tokenizer: TextTokenizer,
        frequency: dict[int, int],
        *,
        cache: bool,
        augment: float = 0.0,
        draw_frames: bool = True,
        agreements: Floats | None = None,
    ) -> None:
        """`frequency`: training captions per concept id. `augment`: strength of it. `draw_frames`:
        whether a visit that has draws draws its frames, too. `agreements`:
        ascending scores of the training captions, where batches should say where theirs are."""
        self.rows = rows
        self.spec = spec
        self.reader = reader_of(spec, rows.index)
        self.tokenizer = tokenizer
        self.frequency = frequency
        self._rank, self._num_ranks = ranks.rank(), ranks.world()
        self.augment, self.draw_frames = augment, draw_frames
        self.agreements = agreements
        self._cache: dict[int, Clip] | None = {} if cache else None
        self._captions: dict[int, tuple[str, list[Caption]]] | None = {} if cache else None

    def video(self, row: int, draw: int | None = None) -> Clip:
        """[T,…] of a clip; with a `draw`, the frames (or vectors) are chosen by it."""
        if self._cache is None:
            return self.reader.chosen(self.rows, row, draw)
        if row not in self._cache:
            self._cache[row] = self.reader.stored(self.rows, row)
        stored = self._cache[row]
        return stored[choose_frames(len(stored), self.spec.num_frames, draw)]

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
        clip_key_B = keys(clip_ids)
        draws = None if salt is None else mix(clip_key_B.numpy() ^ visits[:, 1], salt)
        texts = [c.text for c in captions]
        ids, mask = self.tokenizer.encode(texts[mine])
        video = self.reader.empty(mine.stop - mine.start)
        for i, place in enumerate(range(mine.start, mine.stop)):
            row = int(visits[place, 0])
            if draws is None:
                video[i] = self.video(row)
            else:
                draw = int(draws[place]) >> 2
                clip = self.video(row, draw if self.draw_frames else None)
                strength = self.augment
                video[i] = self.reader.augmented(clip, strength, draw) if strength else clip
        return Batch(
            video=torch.from_numpy(video),
            input_ids_BS=ids,
            mask_BS=mask,
            clip_key_B=clip_key_B,
            text_key_B=keys([same_text(t) for t in texts]),
            frequency_B=torch.tensor([self._rarest(c) for c in captions]),
            agreement_B=self._agreement_B(captions),
            aligned_B=_aligned_B(captions),
            clip_ids=tuple(clip_ids),
        )

    def _agreement_B(self, captions: Sequence[Caption]) -> Tensor | None:
        """The share of the training captions that agree less, equal ones counted half."""
        if self.agreements is None:
            return None
        scores = np.array([np.nan if c.agreement is None else c.agreement for c in captions])
        below = np.searchsorted(self.agreements, scores, "left")
        above = np.searchsorted(self.agreements, scores, "right")
        shares = np.where(np.isnan(scores), np.nan, (below + above) / 2 / len(self.agreements))
        return torch.from_numpy(shares).float()

    def _rarest(self, caption: Caption) -> float:
        counts = [self.frequency.get(c, 0) for c in caption.concept_ids]
        return float(min(counts)) if counts else float("nan")


def _aligned_B(captions: Sequence[Caption]) -> Tensor | None:
    told = [c.is_aligned for c in captions]
    return None if None in told else torch.tensor(told, dtype=torch.bool)


def reader_of(spec: ClipSpec, index: SplitIndex) -> FrameReader | FeatureReader:
    """Who makes of a row what a model takes: of frames, those to train on where all files have
    such."""
    if isinstance(spec, FeatureSpec):
        return FeatureReader(spec)
    if not index.has_column(TRAIN_FRAMES):
        return FrameReader(spec)
    first = index.num_clips and ClipRows(index, column=TRAIN_FRAMES).clip(TRAIN_FRAMES, 0)
    return FrameReader(spec, TRAIN_FRAMES, len(first.values or ()) if first else 0)


def open_rows(index: SplitIndex, spec: ClipSpec, *, num_groups_kept: int = 4) -> ClipRows:
    """The rows of a split, with the column that a model needs.

    Raises:
        InputError: a file does not have it.
    """
    column = reader_of(spec, index).column
    index.check_column(
        column,
        "training shards are what `mama-augment balance` writes (docs/data-format.md)"
        if column == KEY_FRAMES
        else "the model was made for vectors in it (docs/data-format.md)",
    )
    return ClipRows(index, num_groups_kept=num_groups_kept, column=column)


def open_split(uri: str, split: str, spec: ClipSpec, tokenizer: TextTokenizer) -> BatchSource:
    """A split of shards, to be evaluated or embedded: decoded as a model wants it, a clip at a
    time, without augmentation.

    Raises:
        InputError: `uri` holds no shards, or they have no such split.
    """
    if split not in SPLITS:
        raise InputError(f"--split is {split!r}; {did_you_mean(split, SPLITS)}")
    index = read_index(uri, split)
    if index.num_captions == 0:
        raise InputError(f"{uri!r} holds no {split} split; allowed: {', '.join(SPLITS)}")
    return BatchSource(open_rows(index, spec), spec, tokenizer, {}, cache=False)


def open_others(
    uris: Sequence[str], spec: ClipSpec, tokenizer: TextTokenizer
) -> dict[str, BatchSource]:
    """The test splits of several shards by the last part of their URIs, or by all of it where
    that part is not theirs alone.

    Raises:
        InputError: one holds no shards, or no test split.
    """
    last = [uri.rstrip("/").rpartition("/")[2] for uri in uris]
    names = [
        short if last.count(short) == 1 else uri for short, uri in zip(last, uris, strict=True)
    ]
    opened = (open_split(uri, "test", spec, tokenizer) for uri in uris)
    return dict(zip(names, opened, strict=True))


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
    ) -> None:
        """`spec`, `tokenizer`: what the model takes. `frequency`, `agreements`: as in
        `BatchSource`."""
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
        self.clips = BatchSource(
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
