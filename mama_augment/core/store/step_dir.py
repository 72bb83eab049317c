"""A step's directory on disk: manifest, units, commit records, resume, ledger.

Layout (docs/data-format.md): `manifest.json` is the header; a unit's data goes to a file named
after the unit and its content; a commit record, written last, makes it count. A unit is done when
its record is there with the files that it names, made from the input that the manifest names;
anything else on disk is leftovers of a killed run. A record's name says all that a step asks of it
(`records`), so that one listing opens a directory, however large. Nothing is renamed or appended on
an object store, so the same protocol holds there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import pyarrow as pa

from mama_augment.core.errors import InputError
from mama_augment.core.ledger import STEP_TABLES, Reject, StepTable
from mama_augment.core.manifest import Manifest, fingerprint
from mama_augment.core.shares import Share
from mama_augment.core.store.committed import CommittedUnit, Unit, fragment, in_order, publish, read
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import MANIFEST_NAME, is_own_folder, is_passing
from mama_augment.core.store.listing import Listing, clear, delete_leftovers, latest_of
from mama_augment.core.store.lock import opening, sight
from mama_augment.core.store.records import NOTHING, UnitRecord, records_folder
from mama_augment.core.store.same import check_ours, check_same, read_manifest


class StepDir:
    """Reads and commits the units of one step directory; picklable, so that workers can commit."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.retries = False
        """Whether units are done again for their failures."""
        self._listing: Listing | None = None
        self._before: dict[str, UnitRecord] = {}
        """Records of units that are done again, for those who look at no listing."""

    def __getstate__(self) -> dict[str, object]:
        # A worker looks at its own units: it is not sent the records of all.
        return {**vars(self), "_listing": None}

    @property
    def step(self) -> str:
        return self.manifest.step

    @property
    def rows(self) -> StepTable:
        """How rows of this step's files are accounted."""
        return STEP_TABLES.get(self.step, StepTable())

    @classmethod
    def open(cls, uri: str, *, step: str | None = None) -> StepDir:
        """Open an existing step directory.

        Raises:
            InputError: there is none at `uri`, or it holds another step than `step`.
        """
        opened = cls.begun(uri)
        if opened is None:
            wanted = f"the output of `mama-augment {step}`" if step else "a step's output"
            raise InputError(f"{uri!r} is not {wanted}: it holds no {MANIFEST_NAME}")
        if step is not None and opened.step != step:
            raise InputError(
                f"{uri!r} holds the output of `mama-augment {opened.step}`; "
                f"`mama-augment {step}` output is needed here"
            )
        return opened

    @classmethod
    def begun(cls, uri: str) -> StepDir | None:
        """A step directory, of whatever step; None where there is none.

        Raises:
            InputError: its manifest is damaged, or of another version.
        """
        folder = Folder(uri)
        content = folder.read_if_there(MANIFEST_NAME)
        return None if content is None else cls(folder, read_manifest(content, uri))

    def check_finished(self) -> None:
        """Refuse to be read while units are pending.

        Raises:
            InputError: saying how many.
        """
        if pending := self.units_to_do():
            raise InputError(
                f"{self.folder.uri!r} is unfinished: {len(pending)} of {len(self.manifest.units)} "
                f"units are pending. Run the same `mama-augment {self.step}` command again; it "
                "continues"
            )

    @classmethod
    def create_or_resume(
        cls,
        uri: str,
        manifest: Manifest,
        *,
        overwrite: bool = False,
        share: Share | None = None,
        files: Mapping[str, bytes | pa.Buffer] | None = None,
    ) -> StepDir:
        """Start a step directory, or continue the one that has the same config and input.

        share: the units that this run takes; it leaves the files of others alone. files: what the
        manifest names, written before it.

        Raises:
            InputError: `uri` holds something else: another config, another input, or other files.
        """
        with opening(uri, share):
            existing = cls.to_resume(uri, manifest, overwrite=overwrite)
            folder = Folder(uri)
            if existing is None:
                if overwrite:
                    clear(folder)
                if folder.is_local:
                    folder.fs.create_dir(folder.path(), recursive=True)
            opened = cls(folder, manifest)
            there: Collection[str] = ()
            if existing is not None:
                opened = cls(folder, manifest if manifest.grows else existing.manifest)
                there = opened.sizes
            for name, content in (files or {}).items():
                if name not in there:  # their names are made of what they hold
                    folder.write_bytes(name, content)
            if existing is None or manifest.grown_from(existing.manifest):
                folder.write_bytes(MANIFEST_NAME, manifest.to_json())
        if existing is not None:
            opened.remove_leftovers(share)
        return opened

    @classmethod
    def to_resume(cls, uri: str, manifest: Manifest, *, overwrite: bool = False) -> StepDir | None:
        """What `create_or_resume` continues; None where it starts anew. Writes nothing.

        Raises:
            InputError: as `create_or_resume`.
        """
        folder = Folder(uri)
        content = folder.read_if_there(MANIFEST_NAME)
        if content is not None:
            if overwrite:
                check_ours(content, uri)
                return None
            existing = cls(folder, read_manifest(content, uri))
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
        before = self.before(unit_id)
        unit = Unit(
            unit_id=unit_id,
            attempt=0 if before is None else before.attempt + 1,
            input_digest=self.manifest.digests.get(unit_id, NOTHING),
            subfolder=subfolder,
        )
        expected = self.manifest.units[unit_id]
        record = publish(self.folder, unit, table, rejects, self.rows, expected)
        if before is not None and before.name != record.name:
            self._delete(before, keep=record)
        self._before[unit_id] = record
        self._listing = None  # others may have committed too
        return record

    def _delete(self, record: UnitRecord, keep: UnitRecord | None = None) -> None:
        """Take a record back: first the record, so that what is left over never counts."""
        kept = {file.name for file in keep.files()} if keep is not None else set()
        self.folder.delete(record.name)
        for file in record.files():
            if file.name not in kept:
                self.folder.delete(file.name)

    def retract(self, unit_ids: Iterable[str], reason: str | None = None) -> None:
        """Make these units pending again; with a reason, those whose items all left for it."""
        latest = self.reread()._look().latest
        for unit_id in unit_ids:
            record = latest.get(unit_id)
            if record is None:
                continue
            if reason is None or (record.num_in and record.left_all_for(reason)):
                self._delete(record)
                self._before.pop(unit_id, None)
        self._listing = None

    def sight(self, share: Share | None) -> AbstractContextManager[Callable[[], None]]:
        """Gives what a worker calls to prove that it sees this directory, wherever it runs."""
        return sight(self.folder, share)

    def before(self, unit_id: str) -> UnitRecord | None:
        """What is committed of a unit that is done again, or for a changed input; of a listing that
        was looked at here, or before this was sent (`for_workers`)."""
        if unit_id in self._before:
            return self._before[unit_id]
        return self._listing.latest.get(unit_id) if self._listing is not None else None

    def for_workers(self, unit_ids: Iterable[str]) -> StepDir:
        """The same directory for those who will do these units: they know what is there of them."""
        made = StepDir(self.folder, self.manifest)
        made.retries = self.retries
        latest = self._look().latest
        made._before = {u: latest[u] for u in unit_ids if u in latest}
        return made

    def committed_among(self, unit_ids: Sequence[str]) -> dict[str, UnitRecord]:
        """Which of these units are done by now; a look at their own records, a thousand each.

        For a worker that may have taken over from another.
        """
        wanted = set(unit_ids)
        names = [
            name
            for folder in dict.fromkeys(map(records_folder, unit_ids))
            for name in self.folder.sizes_bytes(folder)
        ]
        return {
            unit_id: record
            for unit_id, record in latest_of(names).items()
            if unit_id in wanted and self._is_current(record)
        }

    def _is_current(self, record: UnitRecord) -> bool:
        """Whether a unit was made from the input that the manifest names."""
        wanted = self.manifest.digests.get(record.unit_id, NOTHING)
        return record.input_digest == wanted and self.manifest.units.get(record.unit_id) is not None

    def _look(self) -> Listing:
        if self._listing is None:
            self._listing = Listing.of(
                self.folder.sizes_bytes(recursive=True, enters=is_own_folder)
            )
        return self._listing

    @property
    def sizes(self) -> Mapping[str, int]:
        """Every file below, by name; looked at once, as `records`."""
        return self._look().sizes

    def records(self) -> dict[str, UnitRecord]:
        """The records that count, in unit order. Listed once and remembered; `reread` sees what
        others commit meanwhile."""
        latest = self._look().latest
        return {
            unit_id: record
            for unit_id in self.manifest.units
            if (record := latest.get(unit_id)) is not None and self._is_current(record)
        }

    def reread(self) -> StepDir:
        """The same directory as it is now."""
        self._listing = None
        return self

    def units_to_do(self, *, retry_failed: bool = False, share: Share | None = None) -> list[str]:
        """Units without a record that counts, and on request those with failures, in unit order."""
        self.retries = retry_failed
        records = self.records()
        mine = self.manifest.units if share is None else share.of(self.manifest.units)
        return [
            unit_id
            for unit_id in mine
            if unit_id not in records or (retry_failed and records[unit_id].num_failed)
        ]

    def read_data(self, record: UnitRecord, columns: list[str] | None = None) -> pa.Table | None:
        """The rows of a committed unit, all columns or some; None where it has no data file."""
        return CommittedUnit(self.folder, record).table(columns) if record.data else None

    def read_rejects(self, record: UnitRecord) -> list[Reject]:
        if record.rejects is None:
            return []
        file = fragment(self.folder, record.rejects.name, record.rejects.num_bytes)
        return [Reject(**row) for row in read(file).to_pylist()]

    def units(self) -> Iterator[CommittedUnit]:
        """Every committed unit that has rows, in unit order; nothing is read yet."""
        for record in self.records().values():
            if record.data is not None:
                yield CommittedUnit(self.folder, record)

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The data of every committed unit, in unit order, a few units in memory at a time."""
        return in_order(self.units(), lambda unit: unit.table(columns))

    def input_fingerprint(self) -> str:
        """What a next step remembers of this one: the committed content, unit by unit."""
        return fingerprint({u: r.data_digest for u, r in self.records().items()})

    def remove_leftovers(self, share: Share | None = None) -> None:
        """Delete the files of killed runs, which no record names; those of its own units, for a
        share of them, and where nothing is locked those that no run can be about to name."""
        ours = None if share is None else share.of(self.manifest.units)
        delete_leftovers(self.folder, self._look(), ours)
