"""Vectors in tables, and found again by their clip."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.core.draws import draw_bits
from mama_augment.core.schema import features_of
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.step_dir import StepDir

UNITS_KEPT = 2


def features_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """At least one row, with vectors as arrays."""
    width = len(rows[0]["vector"])
    schema = features_of(width)
    frames = np.concatenate([row["frame_vectors"] for row in rows]).reshape(-1)
    vectors = np.concatenate([row["vector"] for row in rows])
    bounds = np.cumsum([0, *(len(row["frame_vectors"]) for row in rows)]).astype(np.int32)
    fixed = [pa.FixedSizeListArray.from_arrays(pa.array(flat), width) for flat in (frames, vectors)]
    columns = [
        pa.array([row["clip_id"] for row in rows], pa.string()),
        pa.array([row["frame_seconds"] for row in rows], schema.field("frame_seconds").type),
        pa.ListArray.from_arrays(pa.array(bounds), fixed[0]),
        fixed[1],
    ]
    return pa.table([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def vectors_of(table: pa.Table) -> np.ndarray:
    """float32 [clips, D] of a features table."""
    column = table["vector"].combine_chunks()
    width = column.type.list_size
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, width)


@dataclass(kw_only=True)
class Vectors:
    """Vectors of clips by id: 16 bytes a clip, and a few units of vectors, in memory; picklable."""

    units: Sequence[CommittedUnit]
    keys: np.ndarray
    places: np.ndarray
    """[clips, 2]: the unit of each key, and the row in it."""
    _kept: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, features: StepDir) -> Vectors:
        units = list(features.units())
        keys, places = [np.array([], np.uint64)], [np.zeros((0, 2), np.int32)]
        for number, table in enumerate(features.tables(["clip_id"])):
            ids = table["clip_id"].to_pylist()
            keys.append(np.fromiter(map(_key, ids), np.uint64, len(ids)))
            rows = np.arange(len(ids), dtype=np.int32)
            places.append(np.stack([np.full(len(ids), number, np.int32), rows], axis=1))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        return cls(units=units, keys=all_keys[order], places=np.concatenate(places)[order])

    def find(self, clip_id: str) -> np.ndarray | None:
        """float32 [D]; None where there is none."""
        key = np.uint64(_key(clip_id))
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return None
        number, row = self.places[at].tolist()
        if number not in self._kept:
            self._kept[number] = vectors_of(self.units[number].table(["vector"]))
            if len(self._kept) > UNITS_KEPT:
                self._kept.popitem(last=False)
        found: np.ndarray = self._kept[number][row]
        return found


def _key(clip_id: str) -> int:
    return draw_bits(0, "clip", clip_id)
