"""A step's directory on disk: manifest, units, commit records, resume, ledger.

Layout (docs/data-format.md): `manifest.json` is written once; a unit's data goes to a file named
after the unit and its content; `units/<unit>.json` is the commit record, written last. A unit is
done when its record verifies; anything else on disk is leftovers of a killed run. Nothing is
renamed or appended on an object store, so the same protocol holds there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core import schema
from mama_augment.core.errors import DamagedError, InputError
from mama_augment.core.ledger import Reject
from mama_augment.core.manifest import Manifest, fingerprint
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import (
    JOURNAL_FOLDER,
    MANIFEST_NAME,
    is_passing,
    is_temporary,
    is_unit_file,
    parquet_bytes,
)
from mama_augment.core.store.records import UnitRecord, check_same


class StepDir:
    """Reads and commits the units of one step directory; picklable, so that workers can commit."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

        self._records: dict[str, UnitRecord] | None = None

    def __getstate__(self) -> dict[str, object]:
        # A worker looks at its own units: it is not sent the records of all.
        return {**vars(self), "_records": None}

    @property
    def step(self) -> str:
        return self.manifest.step

    @property
    def rows(self) -> schema.StepTable:
        """How rows of this step's files are accounted."""
        return schema.STEP_TABLES.get(self.step, schema.StepTable())

    @classmethod
    def open(cls, uri: str, *, step: str | None = None) -> StepDir:
        """Open an existing step directory.

        Raises:
            InputError: there is none at `uri`, or it holds another step than `step`.
        """
        folder = Folder(uri)
        if not folder.exists(MANIFEST_NAME):
            wanted = f"the output of `mama-augment {step}`" if step else "a step's output"
            raise InputError(f"{uri!r} is not {wanted}: it holds no {MANIFEST_NAME}")
        try:
            manifest = Manifest.from_json(folder.read_bytes(MANIFEST_NAME))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(
                f"{uri!r}: its {MANIFEST_NAME} is damaged ({error!r}). Restore the file, or redo "
                "the step in a new directory"
            ) from error
        if manifest.schema_version != schema.SCHEMA_VERSION:
            raise InputError(
                f"{uri!r} has schema version {manifest.schema_version}; this program reads "
                f"{schema.SCHEMA_VERSION}. Redo the step with `--overwrite`"
            )
        if step is not None and manifest.step != step:
            raise InputError(
                f"{uri!r} holds the output of `mama-augment {manifest.step}`; "
                f"`mama-augment {step}` output is needed here"
            )
        return cls(folder, manifest)

    @classmethod
    def open_finished(cls, uri: str, *, step: str) -> StepDir:
        """Open a step's output that nothing is pending in.

        Raises:
            InputError: as `open`; or units are pending, so that what is made of it now would
                differ from what is made later.
        """
        step_dir = cls.open(uri, step=step)
        if pending := step_dir.units_to_do():
            raise InputError(
                f"{uri!r} is unfinished: {len(pending)} of {len(step_dir.manifest.units)} units "
                f"are pending. Run the same `mama-augment {step}` command again; it continues"
            )
        return step_dir

    @classmethod
    def create_or_resume(cls, uri: str, manifest: Manifest, *, overwrite: bool = False) -> StepDir:
        """Start a step directory, or continue the one that has the same config and input.

        Raises:
            InputError: `uri` holds something else: another config, another input, or other files.
        """
        if (existing := cls.to_resume(uri, manifest, overwrite=overwrite)) is not None:
            existing.remove_leftovers()
            return existing
        folder = Folder(uri)
        if folder.exists(MANIFEST_NAME):
            clear(folder)
        if folder.is_local:
            folder.fs.create_dir(folder.path(), recursive=True)
        folder.write_bytes(MANIFEST_NAME, manifest.to_json())
        return cls(folder, manifest)

    @classmethod
    def to_resume(cls, uri: str, manifest: Manifest, *, overwrite: bool = False) -> StepDir | None:
        """What `create_or_resume` continues; None where it starts anew. Writes nothing.

        Raises:
            InputError: as `create_or_resume`.
        """
        folder = Folder(uri)
        if folder.exists(MANIFEST_NAME):
            if overwrite:
                return None
            existing = cls.open(uri)
            check_same(existing.manifest, manifest, uri)
            return existing
        if folder.size_bytes("") is not None:
            raise InputError(f"{uri!r} is a file; a directory is needed")
        if names := [n for n in folder.sizes_bytes() if not is_passing(n)]:
            raise InputError(
                f"{uri!r} is not empty and is not a step directory (found {', '.join(names[:3])}); "
                "give a new --out directory"
            )
        return None

    def commit(
        self,
        unit_id: str,
        table: pa.Table | None,
        rejects: Sequence[Reject] = (),
        *,
        subfolder: str = "",
    ) -> UnitRecord:
        """Publish a unit: its data, its rejects, then the record that makes it count.

        Where a step's table holds rejected rows too (captions), they count as rejected.
        A unit that was committed before (a retry) is replaced; its old files are deleted last.
        """
        before = self.record(unit_id)
        fields: dict[str, Any] = {}
        num_ok = num_rejected_rows = 0
        if table is not None and table.num_rows:
            num_ok = self.rows.num_ok(table)
            num_rejected_rows = table.num_rows - num_ok if self.rows.holds_rejected else 0
            data = parquet_bytes(table)
            prefix = f"{subfolder}/" if subfolder else ""
            fields |= self._publish(f"{prefix}{unit_id}", data, table.num_rows, "data")
        if rejects:
            rows = pa.Table.from_pylist([dataclasses.asdict(r) for r in rejects], schema.REJECTS)
            fields |= self._publish(
                f"rejects/{unit_id}", parquet_bytes(rows), rows.num_rows, "rejects"
            )
        verdicts = Counter(r.verdict for r in rejects)
        record = UnitRecord(
            unit_id=unit_id,
            num_in=num_ok + num_rejected_rows + len(rejects),
            num_ok=num_ok,
            num_rejected=num_rejected_rows + verdicts["rejected"],
            num_failed=verdicts["failed"],
            **fields,
        )
        expected = self.manifest.units[unit_id]
        assert record.num_in == expected, f"unit {unit_id}: {record.num_in} of {expected} items"
        content = json.dumps(dataclasses.asdict(record), indent=1).encode()
        self.folder.write_bytes(f"units/{unit_id}.json", content)
        if before is not None:
            for name in {f[0] for f in before.files()} - {f[0] for f in record.files()}:
                self.folder.delete(name)
        self._records = None  # others may have committed too
        return record

    def _publish(self, stem: str, data: pa.Buffer, num_rows: int, kind: str) -> dict[str, Any]:
        # A name made of the content: a rerun that makes the same bytes makes the same file, and
        # two writers can never tear each other's.
        sha256 = hashlib.sha256(memoryview(data)).hexdigest()
        name = f"{stem}-{sha256[:12]}.parquet"
        self.folder.write_bytes(name, data)
        return {
            f"{kind}_file": name,
            f"{kind}_rows": num_rows,
            f"{kind}_bytes": data.size,
            f"{kind}_sha256": sha256,
        }

    def record(self, unit_id: str) -> UnitRecord | None:
        """The commit record of a unit, or None when there is none that can be read."""
        name = f"units/{unit_id}.json"
        if not self.folder.exists(name):
            return None
        try:
            return UnitRecord(**json.loads(self.folder.read_bytes(name)))
        except (ValueError, TypeError):
            return None  # cut short or overwritten: the unit is not done

    def verified(self, unit_id: str) -> UnitRecord | None:
        """The record of one unit if it verifies; for a worker, who looks at its own units only."""
        record = self.record(unit_id)
        if record is None or any(
            self.folder.size_bytes(name) != size for name, size, _ in record.files()
        ):
            return None
        return record

    def records(self) -> dict[str, UnitRecord]:
        """The records that verify (their files exist with the recorded size), in unit order.

        Read once and remembered; `reread` sees what others commit meanwhile.
        """
        if self._records is None:
            self._records = self._read_records()
        return self._records

    def reread(self) -> StepDir:
        """The same directory as it is now."""
        self._records = None
        return self

    def _read_records(self) -> dict[str, UnitRecord]:
        sizes = self.folder.sizes_bytes(recursive=True)
        found: dict[str, UnitRecord] = {}
        for unit_id in self.manifest.units:
            if f"units/{unit_id}.json" not in sizes:
                continue
            record = self.record(unit_id)
            if record and all(sizes.get(name) == size for name, size, _ in record.files()):
                found[unit_id] = record
        return found

    def units_to_do(self, *, retry_failed: bool = False) -> list[str]:
        """Units without a valid record, and on request those with failures, in unit order."""
        records = self.records()
        return [
            unit_id
            for unit_id in self.manifest.units
            if unit_id not in records or (retry_failed and records[unit_id].num_failed)
        ]

    def read_data(self, record: UnitRecord, columns: list[str] | None = None) -> pa.Table | None:
        """The rows of a committed unit, all columns or some; None where it has no data file.

        Raises:
            OSError, pa.ArrowException: the file is gone or damaged since the record was checked.
        """
        if record.data_file is None:
            return None
        return CommittedUnit(self.folder, record).table(columns)

    def read_rejects(self, record: UnitRecord) -> list[Reject]:
        if record.rejects_file is None:
            return []
        with self.folder.open_input(record.rejects_file) as stream:
            return [Reject(**row) for row in pq.read_table(stream).to_pylist()]

    def unit(self, unit_id: str) -> CommittedUnit | None:
        """One committed unit, whose record alone is read; None where it has no rows."""
        record = self.record(unit_id)
        assert record is not None, f"unit {unit_id} is not committed"
        return CommittedUnit(self.folder, record) if record.data_file is not None else None

    def units(self) -> Iterator[CommittedUnit]:
        """Every committed unit that has rows, in unit order; nothing is read yet."""
        for record in self.records().values():
            if record.data_file is not None:
                yield CommittedUnit(self.folder, record)

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The data of every committed unit, in unit order, one unit in memory at a time."""
        for unit in self.units():
            yield unit.table(columns)

    def input_fingerprint(self) -> str:
        """What a next step remembers of this one: the committed content, unit by unit."""
        return fingerprint({u: r.data_sha256 for u, r in self.records().items()})

    def remove_leftovers(self) -> None:
        """Delete the data files of killed runs, which no record names."""
        known = {name for r in self.records().values() for name, _, _ in r.files()}
        for name in self.folder.sizes_bytes(recursive=True):
            if (is_unit_file(name) and name not in known) or is_temporary(name):
                self.folder.delete(name)


def clear(folder: Folder) -> None:
    """Empty a step directory; the manifest goes last, so that a kill leaves it recognisable."""
    for name in folder.sizes_bytes(recursive=True):
        if name.startswith(("units/", f"{JOURNAL_FOLDER}/")) or is_unit_file(name):
            folder.delete(name)
    folder.delete(MANIFEST_NAME)
