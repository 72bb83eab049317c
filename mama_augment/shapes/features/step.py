"""A world of features as training shards: what `balance` leaves, but made, not balanced.

The directory is one of the step `balance`, so that training, `status` and `validate` take
it as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.balance.corpus import ClipTexts, Text
from mama_augment.balance.stats import ShardStats, write_sidecars
from mama_augment.core.manifest import Manifest, fingerprint, versions
from mama_augment.core.schema import SPLITS, feature_shards
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.step_dir import StepDir
from mama_augment.shapes.features.config import FeaturesConfig
from mama_augment.shapes.features.scenes import CONCEPTS, Piece, make_piece

CLIPS_PER_UNIT = 4096


class FeaturesWorld:
    """The step: nothing in, shards of features out."""

    name = "balance"
    noun = "texts"

    def __init__(self, config: FeaturesConfig) -> None:
        self.config = config

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`."""
        config: dict[str, Any] = {"shapes": "features", **asdict(self.config)}
        return Manifest(
            step=self.name,
            config=config,
            input_fingerprint=fingerprint(config),
            units={unit: num for unit, (_, _, num) in units_of(self.config).items()},
            versions=versions("numpy", "pyarrow"),
        )

    def files(self) -> Mapping[str, bytes]:
        """The manifest names nothing."""
        return {}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if todo:
            worker = partial(PieceWorker, config=self.config, out=directory.for_workers(todo))
            yield Stage(unit_ids=todo, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        """What the report and the trainer read."""
        stats = ShardStats(names=CONCEPTS)
        for split, first, num in units_of(self.config).values():
            for clip in clip_texts(make_piece(self.config, split, first, num)):
                stats.count_before(clip)
                stats.count_after(clip)
        stats.finish()
        write_sidecars(directory.folder, stats)

    def close(self) -> None:
        """Nothing is held."""


def units_of(config: FeaturesConfig) -> dict[str, tuple[str, int, int]]:
    """(split, first clip, number of clips) of each unit, by name."""
    return {
        f"{split}-{first // CLIPS_PER_UNIT:06d}": (split, first, min(CLIPS_PER_UNIT, num - first))
        for split in SPLITS
        for num in (config.num_in(split),)
        for first in range(0, num, CLIPS_PER_UNIT)
    }


@dataclass(frozen=True, kw_only=True)
class PieceWorker:
    """Makes and commits units."""

    config: FeaturesConfig
    out: StepDir

    def run_unit(self, unit_id: str) -> int:
        split, first, num = units_of(self.config)[unit_id]
        table = piece_table(make_piece(self.config, split, first, num))
        return self.out.commit(unit_id, table, subfolder=split).num_in

    def close(self) -> None:
        """Nothing is held between units."""


def piece_table(piece: Piece) -> pa.Table:
    """Rows of a shard, in their shuffled order: clips are drawn one after the other."""
    schema = feature_shards(piece.vectors_NW.shape[1])
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(piece.vectors_NW.reshape(-1)), piece.vectors_NW.shape[1]
    )
    clips = clip_texts(piece)
    one_each = pa.array(np.arange(len(clips) + 1, dtype=np.int32))
    captions = [
        {
            "text": text.text,
            "source": text.source,
            "trusted": text.trusted,
            "concept_ids": text.concept_ids,
            "keep_probability": text.keep_probability,
            "is_aligned": is_aligned,
        }
        for clip, is_aligned in zip(clips, piece.is_aligned_N.tolist(), strict=True)
        for text in clip.texts
    ]
    return pa.table(
        {
            "split": [piece.split] * len(clips),
            "clip_id": piece.clip_ids,
            "features": pa.ListArray.from_arrays(
                one_each, vectors, type=schema.field("features").type
            ),
            "captions": [[caption] for caption in captions],
        },
        schema=schema,
    )


def clip_texts(piece: Piece) -> list[ClipTexts]:
    """The clips with their one caption each, as `balance` counts them."""
    rows = zip(piece.clip_ids, piece.texts, piece.told_concept_N.tolist(), strict=True)
    return [
        ClipTexts(
            order=piece.first + i,
            clip_id=clip_id,
            video=clip_id,
            split=piece.split,
            value=None,
            texts=[
                Text(
                    id=f"{clip_id}|human|0",
                    text=text,
                    source="human",
                    trusted=piece.split != "train",
                    concept_ids=[concept],
                )
            ],
        )
        for i, (clip_id, text, concept) in enumerate(rows)
    ]
