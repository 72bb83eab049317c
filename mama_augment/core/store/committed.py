"""The rows of one committed unit, as the next step reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.store.files import Folder
from mama_augment.core.store.records import UnitRecord


@dataclass(frozen=True)
class CommittedUnit:
    """A unit's rows on disk; picklable."""

    folder: Folder
    record: UnitRecord

    @property
    def name(self) -> str:
        """Its data file, relative to the step's directory."""
        assert self.record.data_file is not None, self.record.unit_id
        return self.record.data_file

    @property
    def num_rows(self) -> int:
        return self.record.data_rows

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, or some columns of them."""
        with self._open() as stream:
            return pq.read_table(stream, columns=None if columns is None else list(columns))

    def metadata(self) -> pq.FileMetaData:
        """The file's footer: schema, row groups and their sizes."""
        with self._open() as stream:
            return pq.read_metadata(stream)

    def row_groups(
        self,
        columns: Sequence[str] | None = None,
        wanted: Callable[[int, int], bool] = lambda first_row, num_rows: True,
    ) -> Iterator[tuple[int, pa.Table]]:
        """(first row, rows) of each row group, one in memory at a time.

        wanted: called with (first row, number of rows); a group that is not wanted is not read.
        """
        with self._open() as stream:
            file = pq.ParquetFile(stream)
            first_row = 0
            for group in range(file.num_row_groups):
                num_rows = file.metadata.row_group(group).num_rows
                if wanted(first_row, num_rows):
                    names = None if columns is None else list(columns)
                    yield first_row, file.read_row_group(group, columns=names)
                first_row += num_rows

    def _open(self) -> pa.NativeFile:
        return self.folder.open_input(self.name)
