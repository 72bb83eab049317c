"""Frames of all clips on a local disk, by the place of their clips in the global order, with what
else of a clip goes to its shard unread (`schema.CLIP_EXTRAS`).

They are read together with the texts, before it is known which clip goes where. A shard is a
stretch of the order within its split, so that it finds its frames in one or two files, or in
all of them where its split is small; of these it reads its own rows alone. Pixels are read once and
written twice, here and in the shards, whatever the size of the corpus.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core import schema
from mama_augment.core.draws import draw_bits
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir

COLUMNS = ["clip_id", "frames", "frame_seconds"]
FILE_BYTES = 64 * 2**20
MAX_FILES = 200
"""They are open at once."""
PIXELS = ("frames.", "train_frames.")
"""How the columns of pixels begin in a file's footer."""


class Frames:
    """Writes rows in any order, and then gives those of some clips; picklable once it is closed."""

    name = "frames"

    def __init__(
        self, scratch: Path, num_bytes: int, seed: int, *, extras: Sequence[str] = ()
    ) -> None:
        """num_bytes: roughly, of all that will be added. extras: names of `schema.CLIP_EXTRAS` that
        some of the clips have.

        Raises:
            OSError: the disk has no room for them.
        """
        free = shutil.disk_usage(scratch).free
        if num_bytes > free:
            raise OSError(
                errno.ENOSPC,
                f"{os.strerror(errno.ENOSPC)}: the key frames of all clips, {num_bytes / 1e9:,.1f} "
                f"GB, are kept at {str(scratch)!r} meanwhile, where {free / 1e9:,.1f} GB are free. "
                "For an output on an object store, TMPDIR may name a folder of a larger disk",
            )
        self._scratch, self._seed = scratch, seed
        self.schema = self._fields(extras)
        self._num_files = min(MAX_FILES, 1 + num_bytes // FILE_BYTES)
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self.num_bytes = 0
        """Of all frames, uncompressed, as footers state it."""
        self.num_rows = 0

    def _fields(self, extras: Sequence[str]) -> pa.Schema:
        own = [schema.CLIPS.field(name) for name in COLUMNS]
        return pa.schema([*own, *(f for f in schema.CLIP_EXTRAS if f.name in extras)])

    @classmethod
    def of(cls, clips: StepDirs, scratch: Path, seed: int) -> Frames:
        """Room for the frames of these directories.

        Raises:
            OSError: the disk has none.
        """
        files = (record.data for record in clips.records().values())
        num_bytes = sum(file.num_bytes for file in files if file is not None)
        first = (next(step_dir.units(), None) for step_dir in clips.dirs)
        known = {name for unit in first if unit is not None for name in unit.schema().names}
        extras = [name for name in schema.CLIP_EXTRAS.names if name in known]
        return cls(scratch, num_bytes, seed, extras=extras)

    @property
    def columns(self) -> list[str]:
        """What is kept of a clip, where its directory has it."""
        return list(self.schema.names)

    @property
    def mean_bytes(self) -> float:
        """Of a clip's frames."""
        return self.num_bytes / max(1, self.num_rows)

    def count(self, metadata: pq.FileMetaData) -> None:
        """Take note of a file's footer."""
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = (group.column(i) for i in range(group.num_columns))
            self.num_bytes += sum(
                c.total_uncompressed_size for c in columns if c.path_in_schema.startswith(PIXELS)
            )
        self.num_rows += metadata.num_rows

    def add(self, table: pa.Table) -> None:
        """Rows with `COLUMNS`; of the extras, those that they have."""
        table = pa.table(
            [
                table[field.name].cast(field.type)
                if field.name in table.column_names
                else pa.nulls(len(table), field.type)
                for field in self.schema
            ],
            schema=self.schema,
        )
        orders = [draw_bits(self._seed, "order", i) for i in table["clip_id"].to_pylist()]
        files = np.array([self._file_of(order) for order in orders], np.int64)
        ordered = np.argsort(files, kind="stable")
        table = table.take(pa.array(ordered))
        numbers, starts = np.unique(files[ordered], return_index=True)
        for number, start, end in zip(
            numbers.tolist(), starts, [*starts[1:], len(files)], strict=True
        ):
            if number not in self._writers:
                path = str(self._path(number))
                self._writers[number] = pa.ipc.new_stream(path, self.schema)
            self._writers[number].write_table(table.slice(start, end - start))

    def close(self) -> None:
        """All is added."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def rows(self, orders: Mapping[str, int]) -> pa.Table:
        """The rows of clips, in their sequence, byte for byte as they were added.

        orders: each clip's place in the global order.
        """
        by_file: dict[int, set[str]] = {}
        for clip_id, order in orders.items():
            by_file.setdefault(self._file_of(order), set()).add(clip_id)
        batches: list[pa.RecordBatch] = []
        for number, wanted in sorted(by_file.items()):
            batches += _rows_of(self._path(number), wanted)
        found = [i for batch in batches for i in batch["clip_id"].to_pylist()]
        position = {clip_id: i for i, clip_id in enumerate(found)}
        self._check(clip_id for clip_id in orders if clip_id not in position)
        table = pa.Table.from_batches(batches, self.schema)
        return table.take(pa.array([position.get(clip_id) for clip_id in orders], pa.int64()))

    def _check(self, missing: Iterable[str]) -> None:
        found = list(missing)
        assert not found, f"no frames for clips {found[:3]}"

    def _file_of(self, order: int) -> int:
        return order * self._num_files >> 64

    def _path(self, number: int) -> Path:
        return self._scratch / f"{self.name}-{number:03d}.arrow"


class Regions(Frames):
    """The same of what `mama-augment regions` found; a clip may have none."""

    name = "regions"

    def _fields(self, extras: Sequence[str]) -> pa.Schema:
        return pa.schema([schema.CLIPS.field("clip_id"), schema.REGIONS_COLUMN])

    def _check(self, missing: Iterable[str]) -> None:
        """They are null in the shards."""

    @classmethod
    def gathered(cls, regions: StepDir, scratch: Path, seed: int) -> Regions:
        """All of a directory.

        Raises:
            InputError: it is unfinished.
            OSError: the disk has no room.
        """
        regions.check_finished()
        files = (record.data for record in regions.records().values())
        found = cls(scratch, sum(file.num_bytes for file in files if file is not None), seed)
        for table in regions.tables(found.columns):
            found.add(table)
            found.num_rows += len(table)
        found.close()
        return found


def _rows_of(path: Path, wanted: set[str]) -> list[pa.RecordBatch]:
    """The file is mapped: of rows that are not wanted, little more than the ids is read."""
    found: list[pa.RecordBatch] = []
    if not path.exists():
        return found
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            ids = batch["clip_id"].to_pylist()
            rows = [i for i, clip_id in enumerate(ids) if clip_id in wanted]
            if rows:
                found.append(batch.take(pa.array(rows)))
    return found
