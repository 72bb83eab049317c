"""A made world as training shards: what `balance` leaves, but made, not balanced.

The directory is one of the step `balance`, so that training, `status` and `validate` take
it as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from mama_augment.balance.corpus import ClipTexts, Text
from mama_augment.balance.stats import ShardStats, write_sidecars
from mama_augment.core.manifest import Manifest, fingerprint, versions
from mama_augment.core.schema import SPLITS
from mama_augment.core.step import Output, Stage, Teller
from mama_augment.core.store.step_dir import StepDir
from mama_augment.shapes.shards.piece import Piece, ShardsWorld, truth_fields


class MadeShards:
    """The step: nothing in, shards of a world out."""

    name = "balance"
    noun = "texts"

    def __init__(self, world: ShardsWorld) -> None:
        self.world = world

    def manifest(self, out: Output[StepDir], tell: Teller) -> Manifest:
        """See `core.step.Step`."""
        config: dict[str, Any] = {"shapes": self.world.kind, **asdict(self.world.config)}
        return Manifest(
            step=self.name,
            config=config,
            input_fingerprint=fingerprint(config),
            units={unit: num for unit, (_, _, num) in units_of(self.world).items()},
            versions=versions("numpy", "pyarrow"),
        )

    def files(self) -> Mapping[str, bytes]:
        """The manifest names nothing."""
        return {}

    def stages(
        self, directory: StepDir, todo: Sequence[str], advance: Callable[[int], None]
    ) -> Iterator[Stage]:
        if todo:
            worker = partial(PieceWorker, world=self.world, out=directory.for_workers(todo))
            yield Stage(unit_ids=todo, make_worker=worker)

    def finish(self, directory: StepDir) -> None:
        """What the report and the trainer read."""
        stats = ShardStats(names=self.world.concepts)
        columns = ["split", "clip_id", "captions"]
        for table in directory.tables(columns):
            for clip in clip_texts(table):
                stats.count_before(clip)
                stats.count_after(clip)
        stats.finish()
        write_sidecars(directory.folder, stats)

    def close(self) -> None:
        """Nothing is held."""


def units_of(world: ShardsWorld) -> dict[str, tuple[str, int, int]]:
    """(split, first clip, number of clips) of each unit, by name."""
    size = world.clips_per_unit
    return {
        f"{split}-{first // size:06d}": (split, first, min(size, num - first))
        for split in SPLITS
        for num in (world.config.num_in(split),)
        for first in range(0, num, size)
    }


@dataclass(frozen=True, kw_only=True)
class PieceWorker:
    """Makes and commits units."""

    world: ShardsWorld
    out: StepDir

    def run_unit(self, unit_id: str) -> int:
        split, first, num = units_of(self.world)[unit_id]
        table = piece_table(self.world.piece(split, first, num), self.world.schema)
        return self.out.commit(unit_id, table, subfolder=split).num_in

    def close(self) -> None:
        """Nothing is held between units."""


def piece_table(piece: Piece, schema: pa.Schema) -> pa.Table:
    """Rows of a shard, in their shuffled order: clips are drawn one after the other."""
    captions = truth_fields(piece, piece.split != "train")
    return pa.table(
        {
            "split": [piece.split] * len(captions),
            "clip_id": piece.clip_ids,
            **piece.columns,
            "captions": [[caption] for caption in captions],
        },
        schema=schema,
    )


def clip_texts(table: pa.Table) -> list[ClipTexts]:
    """The clips with their one caption each, as `balance` counts them."""
    return [
        ClipTexts(
            order=order,
            clip_id=row["clip_id"],
            video=row["clip_id"],
            split=row["split"],
            value=None,
            texts=[
                Text(
                    id=f"{row['clip_id']}|human|0",
                    text=caption["text"],
                    source=caption["source"],
                    trusted=caption["trusted"],
                    concept_ids=caption["concept_ids"],
                )
            ],
        )
        for order, row in enumerate(table.to_pylist())
        for caption in row["captions"]
    ]
