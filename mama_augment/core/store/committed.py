"""Units on disk: published by the step that did them, read by the next one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from mama_augment.core import schema
from mama_augment.core.ledger import Reject, StepTable
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import REJECTS_FOLDER, parquet_bytes
from mama_augment.core.store.records import Published, UnitRecord, published_name

S = TypeVar("S")
T = TypeVar("T")
DISK_AHEAD = 2
REQUESTS_AT_ONCE = 64
"""On an object store, where each takes some 20 ms whatever its size."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Which unit it is that is published."""

    unit_id: str
    attempt: int
    input_digest: str
    subfolder: str = ""
    """Where its data goes."""


def publish(
    folder: Folder,
    unit: Unit,
    table: pa.Table | None,
    rejects: Sequence[Reject],
    rows: StepTable,
    num_expected: int,
) -> UnitRecord:
    """Three requests at most on an object store, two without rejects.

    rows: how the table's rows are accounted. num_expected: items that must have gone somewhere.
    """
    reasons = Counter((r.verdict, r.reason) for r in rejects)
    num_ok = num_held_out = 0
    if table is not None and not table.num_rows:
        table = None
    if table is not None:
        num_ok, num_held_out = rows.num_ok(table), rows.num_held_out(table)
        if rows.holds_rejected:
            reasons.update(_rejected_rows(table))
    by_verdict: Counter[str] = Counter()
    for (verdict, _), number in reasons.items():
        by_verdict[verdict] += number
    num_in = num_ok + sum(by_verdict.values())
    assert num_in == num_expected, f"unit {unit.unit_id}: {num_in} of {num_expected} items"
    left = pa.Table.from_pylist([dataclasses.asdict(r) for r in rejects], schema.REJECTS)
    record = UnitRecord(
        unit_id=unit.unit_id,
        attempt=unit.attempt,
        input_digest=unit.input_digest,
        num_ok=num_ok,
        num_rejected=by_verdict["rejected"],
        num_failed=by_verdict["failed"],
        num_held_out=num_held_out,
        data=_publish(folder, unit, table, unit.subfolder),
        rejects=_publish(folder, unit, left if rejects else None, REJECTS_FOLDER),
        reasons=dict(reasons),
    )
    folder.write_bytes(record.name, record.to_json())
    return record


def _publish(
    folder: Folder, unit: Unit, table: pa.Table | None, subfolder: str
) -> Published | None:
    if table is None:
        return None
    data = parquet_bytes(table)
    sha256 = hashlib.sha256(memoryview(data)).hexdigest()
    name = published_name(unit.unit_id, sha256, subfolder)
    folder.write_bytes(name, data)
    return Published(name=name, num_rows=table.num_rows, num_bytes=data.size, sha256=sha256)


def _rejected_rows(table: pa.Table) -> Counter[tuple[str, str]]:
    """Why rows of a table are rejected."""
    left = table.filter(pc.not_equal(table["status"], "ok"))
    return Counter(("rejected", reason or "unknown") for reason in left["reason"].to_pylist())


@dataclass(frozen=True)
class CommittedUnit:
    """A unit's rows on disk; picklable. Its size is known, so that no request asks for it."""

    folder: Folder
    record: UnitRecord

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "record": self.record}

    @property
    def name(self) -> str:
        """Its data file, relative to the step's directory."""
        assert self.record.data_file is not None, self.record.unit_id
        return self.record.data_file

    @property
    def num_rows(self) -> int:
        return self.record.num_rows

    @cached_property
    def _fragment(self) -> pads.ParquetFileFragment:
        assert self.record.data is not None, self.record.unit_id
        return fragment(self.folder, self.name, self.record.data.num_bytes)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, or some columns of them."""
        return read(self._fragment, columns)

    def metadata(self) -> pq.FileMetaData:
        """The file's footer: schema, row groups and their sizes."""
        return self._fragment.metadata

    def schema(self) -> pa.Schema:
        """Columns and types."""
        return self._fragment.physical_schema

    def row_groups(
        self,
        columns: Sequence[str] | None = None,
        wanted: Callable[[int, int], bool] = lambda first_row, num_rows: True,
    ) -> Iterator[tuple[int, pa.Table]]:
        """(first row, rows) of each row group, one in memory at a time.

        wanted: called with (first row, number of rows); a group that is not wanted is not read.
        """
        first_row = 0
        for number in range(self._fragment.num_row_groups):
            num_rows = self.metadata().row_group(number).num_rows
            if wanted(first_row, num_rows):
                yield first_row, read(self._fragment.subset(row_group_ids=[number]), columns)
            first_row += num_rows


def fragment(folder: Folder, name: str, num_bytes: int | None = None) -> pads.ParquetFileFragment:
    """A Parquet file of a folder; nothing is read yet.

    num_bytes: its size, where it is known; an object store need not be asked then.
    """
    if not folder.is_local and pa.io_thread_count() < REQUESTS_AT_ONCE:
        pa.set_io_thread_count(REQUESTS_AT_ONCE)
    return pads.ParquetFileFormat().make_fragment(
        folder.path(name), filesystem=folder.fs, file_size=num_bytes
    )


def read(part: pads.ParquetFileFragment, columns: Sequence[str] | None = None) -> pa.Table:
    """Its rows, in the file's order.

    Raises:
        OSError, pa.ArrowException: it is gone, or damaged.
    """
    names = None if columns is None else list(columns)
    return part.to_table(columns=names, use_threads=False)


def in_order(
    units: Iterable[CommittedUnit], look: Callable[[CommittedUnit], T], *, ahead: int | None = None
) -> Iterator[T]:
    """`look` at each unit, several at a time; what it gives comes in the order of the units.

    ahead: see `in_parallel`.
    """
    some = iter(units)
    first = next(some, None)
    if first is not None:
        yield from in_parallel(first.folder, chain([first], some), look, ahead=ahead)


def in_parallel(
    folder: Folder, items: Iterable[S], look: Callable[[S], T], *, ahead: int | None = None
) -> Iterator[T]:
    """What `look` gives for each item of a folder, in their order, several at a time.

    ahead: how many are looked at before they are asked for; by default as many as an object store
    answers at once, and few on a disk.
    """
    if ahead is None:
        ahead = DISK_AHEAD if folder.is_local else REQUESTS_AT_ONCE
    with ThreadPoolExecutor(ahead, thread_name_prefix="read") as pool:
        running: deque[Future[T]] = deque()
        try:
            for item in items:
                running.append(pool.submit(look, item))
                if len(running) > ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
