"""Batches by request: a clip's frames, and what is said or asked at each visit, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mama_augment.core.draws import mix
from mama_augment.core.errors import InputError, did_you_mean
from mama_augment.core.schema import SPLITS
from mama_train import ranks
from mama_train.data.batch import Asked, Batch, keys, same_text
from mama_train.data.features import FeatureReader
from mama_train.data.frames import KEY_FRAMES, TRAIN_FRAMES, FrameReader
from mama_train.data.index import SplitIndex, read_index
from mama_train.data.regions import RegionReader
from mama_train.data.rows import Caption, ClipRows, video_keys
from mama_train.models.base import ClipSpec
from mama_train.models.specs import FeatureSpec, RegionSpec
from mama_train.models.tokenizer import TextTokenizer

Floats = NDArray[np.float64]
Clip = NDArray[Any]
"""What a model sees of a clip: [T,H,W,3] pixels, [T,width] features, or regions."""

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
        self._video_keys = video_keys(rows.index)
        self._captions: dict[int, tuple[str, list[Caption]]] | None = {} if cache else None

    def video(self, row: int, draw: int | None = None) -> Clip:
        """[T,…] of a clip; with a `draw`, the frames (or vectors) are chosen by it."""
        if self._cache is None:
            return self.reader.chosen(self.rows, row, draw)
        if row not in self._cache:
            self._cache[row] = self.reader.stored(self.rows, row)
        stored = self._cache[row]
        return self.reader.picked(stored, draw)

    def clip_id(self, row: int) -> str:
        """The id of a clip."""
        return self.rows.clip_id(row) if self._captions is None else self.texts(row)[0]

    def texts(self, row: int) -> tuple[str, list[Caption]]:
        """(clip id, its captions)."""
        if self._captions is None:
            return self.rows.clip_id(row), self.rows.captions(row)
        if row not in self._captions:
            self._captions[row] = self.rows.clip_id(row), self.rows.captions(row)
        return self._captions[row]

    def __getitem__(self, request: Request) -> Batch:
        visits, salt = request
        clip_ids = [self.clip_id(row) for row in visits[:, 0].tolist()]
        mine = ranks.rows_of(len(visits), self._rank, self._num_ranks)
        clip_key_B = keys(clip_ids)
        video_key_B = clip_key_B
        if self._video_keys is not None:
            video_key_B = torch.from_numpy(self._video_keys[visits[:, 0]])
        draws = None if salt is None else mix(clip_key_B.numpy() ^ visits[:, 1], salt)
        captions = self.beside(visits, draws)
        texts = [c.text for c in captions]
        ids, mask = self.tokenizer.encode(texts[mine])
        video = self.reader.empty(mine.stop - mine.start)
        for i, place in enumerate(range(mine.start, mine.stop)):
            row = int(visits[place, 0])
            if draws is None:
                video[i] = self.shown(row)
            else:
                draw = int(draws[place]) >> 2
                clip = self.shown(row, draw if self.draw_frames else None)
                strength = self.augment
                video[i] = self.reader.augmented(clip, strength, draw) if strength else clip
        return Batch(
            video=torch.from_numpy(video),
            input_ids_BS=ids,
            mask_BS=mask,
            clip_key_B=video_key_B,
            text_key_B=keys([same_text(t) for t in texts]),
            frequency_B=torch.tensor(self.frequencies(visits, captions)),
            agreement_B=self._agreement_B(captions),
            aligned_B=_aligned_B(captions),
            clip_ids=tuple(clip_ids),
            asked=self.asked(visits, mine),
        )

    def beside(self, visits: NDArray[np.int64], draws: NDArray[np.uint64] | None) -> list[Caption]:
        """The text that stands beside the clip at each visit [B,2]; `draws`: of each."""
        return [self.texts(row)[1][caption] for row, caption in visits.tolist()]

    def shown(self, row: int, draw: int | None = None) -> Clip:
        """What the model sees at a visit of a clip."""
        return self.video(row, draw)

    def asked(self, visits: NDArray[np.int64], mine: slice) -> Asked | None:
        """What visits ask of this rank's rows; nothing in retrieval."""
        return None

    def frequencies(self, visits: NDArray[np.int64], captions: Sequence[Caption]) -> list[float]:
        """How many training captions share the rarest concept of each visit's."""
        return [self._rarest(c) for c in captions]

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


def reader_of(spec: ClipSpec, index: SplitIndex) -> FrameReader | FeatureReader | RegionReader:
    """Who makes of a row what a model takes: of frames, those to train on where all files have
    such."""
    if isinstance(spec, FeatureSpec):
        return FeatureReader(spec)
    if isinstance(spec, RegionSpec):
        return RegionReader(spec)
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


SourceMaker = Callable[..., BatchSource]
"""`BatchSource`, or what takes the same and gives more of a visit."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """What of a split is visited (`index.clip_C`, `index.caption_C`), and who makes batches of
    it."""

    index: SplitIndex
    make: SourceMaker = BatchSource


ItemsOf = Callable[[SplitIndex], Items]


def captions_of(index: SplitIndex) -> Items:
    """Captions are what is visited."""
    return Items(index=index)


def open_split(
    uri: str,
    split: str,
    spec: ClipSpec,
    tokenizer: TextTokenizer,
    items: ItemsOf = captions_of,
) -> BatchSource:
    """A split of shards, to be evaluated or embedded: decoded as a model wants it, a clip at a
    time, without augmentation.

    Raises:
        InputError: `uri` holds no shards, or they have no such split.
    """
    if split not in SPLITS:
        raise InputError(f"--split is {split!r}; {did_you_mean(split, SPLITS)}")
    index = read_index(uri, split)
    if index.num_clips == 0:
        raise InputError(f"{uri!r} holds no {split} split; allowed: {', '.join(SPLITS)}")
    found = items(index)
    return found.make(open_rows(found.index, spec), spec, tokenizer, {}, cache=False)


def open_others(
    uris: Sequence[str],
    spec: ClipSpec,
    tokenizer: TextTokenizer,
    items: ItemsOf = captions_of,
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
    opened = (open_split(uri, "test", spec, tokenizer, items) for uri in uris)
    return dict(zip(names, opened, strict=True))
