"""Clips of captions or shards, found by their id: columns of all, pixels of a few units."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.core.draws import draw_bits
from mama_augment.core.errors import InputError
from mama_augment.core.schema import CLIPS
from mama_augment.core.store.committed import CommittedUnit, in_order
from mama_augment.core.store.several import StepDirs, identity_of
from mama_augment.core.store.step_dir import StepDir

CLIP_COLUMNS = (
    *("clip_id", "video_uri", "start_seconds", "end_seconds", "width_px", "height_px"),
    *("fps", "split", "num_key_frames"),
)
UNITS_KEPT = 2
"""With their pixels. Captions come in the order of their clips."""


class Clips:
    """Columns of every clip, in memory as Arrow has them (some 100 bytes a clip, pixels apart)."""

    def __init__(self, dirs: StepDirs, columns: Sequence[str] = ()) -> None:
        """columns: further ones.

        Raises:
            InputError: no unit has such a column.
        """
        self.dirs = dirs
        self._units = list(dirs.units())
        self._columns = [*CLIP_COLUMNS, *columns]
        self._check(columns)
        tables = list(in_order(self._units, self._read))
        self._table = None
        if tables:  # one piece: to take rows of as many pieces as there are units takes for ever
            whole = pa.concat_tables(tables, promote_options="permissive")
            self._table = whole.combine_chunks()
        ids = self._table["clip_id"].to_pylist() if self._table is not None else []
        keys = np.fromiter(map(clip_key, ids), np.uint64, len(ids))
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        self._keys = keys[self._order]
        self._starts = np.cumsum([0, *(table.num_rows for table in tables)])
        self._pixels: OrderedDict[int, dict[str, tuple[list[bytes], list[float]]]] = OrderedDict()

    @property
    def schema(self) -> pa.Schema:
        """Of the rows that `of` gives."""
        if self._table is None:
            return pa.schema([CLIPS.field(name) for name in CLIP_COLUMNS])
        return self._table.schema

    def _check(self, columns: Sequence[str]) -> None:
        if not columns or not self._units:
            return
        known = self._units[0].schema().names
        for name in columns:
            if name not in known or name in ("frames", "train_frames"):
                own = [n for n in known if n not in CLIPS.names] or ["none besides the usual ones"]
                raise InputError(
                    f"--columns {name!r}: the clips in {self.dirs.uri} have no such column to "
                    f"export; of your own they have: {', '.join(own)}"
                )

    def _read(self, unit: CommittedUnit) -> pa.Table:
        there = unit.schema().names
        return unit.table([name for name in self._columns if name in there])

    def of(self, clip_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """The columns of each clip; None for one that is not there."""
        places = [self._place(clip_id) for clip_id in clip_ids]
        if self._table is None or all(place is None for place in places):
            return [None] * len(clip_ids)
        rows = self._table.take(pa.array([p for p in places if p is not None], pa.int64()))
        found = iter(rows.to_pylist())
        return [None if place is None else next(found) for place in places]

    def frames(self, clip_id: str) -> tuple[list[bytes], list[float]]:
        """(JPEGs, seconds) of a clip that is there."""
        place = self._place(clip_id)
        assert place is not None, clip_id
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        if number not in self._pixels:
            table = self._units[number].table(["clip_id", "frames", "frame_seconds"])
            self._pixels[number] = {
                row["clip_id"]: (row["frames"], row["frame_seconds"]) for row in table.to_pylist()
            }
            if len(self._pixels) > UNITS_KEPT:
                self._pixels.popitem(last=False)
        self._pixels.move_to_end(number)
        return self._pixels[number][clip_id]

    def _place(self, clip_id: str) -> int | None:
        at = int(np.searchsorted(self._keys, np.uint64(clip_key(clip_id))))
        if at == len(self._keys) or int(self._keys[at]) != clip_key(clip_id):
            return None
        return int(self._order[at])


def clip_key(clip_id: str) -> int:
    """64 bits in place of a clip's id."""
    return draw_bits(0, "clip", clip_id)


def clips_of(step_dir: StepDir, given: Sequence[str]) -> StepDirs | None:
    """The clips directories that a directory was made from: those given, or those that its manifest
    remembers; None where neither names any.

    Raises:
        InputError: they are not there, or hold other clips by now.
    """
    sources = step_dir.manifest.sources
    if not given and not sources:
        return None
    uris = list(given) or [source["uri"] for source in sources]
    try:
        dirs = StepDirs.open(uris, step="keyframes")
    except InputError as error:
        if given:
            raise
        raise InputError(
            f"{step_dir.folder.uri!r} was made from the clips in {', '.join(uris)}: {error}. "
            "Say where they lie now: --clips DIR"
        ) from error
    there = {identity_of(found) for found in dirs.dirs}
    for source in sources:
        if source["id"] not in there:
            raise InputError(
                f"{step_dir.folder.uri!r} was made from other clips than those in {dirs.uri}: from "
                f"{source['uri']}. Give that directory, or its copy, as --clips"
            )
    return dirs
