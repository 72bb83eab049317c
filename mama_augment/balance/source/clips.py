"""Rows of clips directories, read once for all that is wanted of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.balance.source.frames import COLUMNS, Frames
from mama_augment.concepts.column import ConceptColumn
from mama_augment.core.errors import InputError
from mama_augment.core.schema import CLIP_EXTRAS
from mama_augment.core.store.committed import (
    DISK_AHEAD,
    REQUESTS_AT_ONCE,
    CommittedUnit,
    in_order,
)
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir

AHEAD_BYTES = 256 * 2**20
"""Of units that are read ahead with their pixels; one that is larger is read by row groups."""
_WANTED = ["clip_id", "video_uri", "split", "texts"]
_QUESTIONS = CLIP_EXTRAS.field("questions")


@dataclass(frozen=True, kw_only=True)
class ClipReader:
    """Reads what is wanted of clips directories."""

    clips: StepDirs
    column: ConceptColumn | None = None
    frames: Frames | None = None
    """Where pixels go; None: they are not read."""

    def value_type(self) -> pa.DataType:
        """Of the concept column, in all directories.

        Raises:
            InputError: there is no such column, it has another type than is needed, or one type
                here and another there.
        """
        found: dict[pa.DataType, str] = {}
        for step_dir in self.clips.dirs:
            unit = next(step_dir.units(), None)
            if self.column is not None and unit is not None:
                held = self._checked(unit).field(self.column.name).type
                found.setdefault(held, step_dir.folder.uri)
        types = [held for held in found if not pa.types.is_null(held)]
        if len(types) > 1:
            assert self.column is not None
            held = "; ".join(f"{type_} in {found[type_]!r}" for type_ in types)
            raise InputError(
                f"--concept-column {self.column.name!r} holds {held}; one type is needed"
            )
        return types[0] if types else pa.null()

    def tables(self) -> Iterator[pa.Table]:
        """clip_id, video_uri, split, texts, questions; the concept column as `value`; the number of
        the directory.

        Raises:
            InputError: see `value_type`.
        """
        value_type = self.value_type()
        for number, step_dir in enumerate(self.clips.dirs):
            for table in self._read_all(step_dir):
                if self.frames is not None:
                    self.frames.add(table)
                column = self.column
                value = pa.nulls(len(table)) if column is None else table[column.name]
                name, kind = _QUESTIONS.name, _QUESTIONS.type
                has = name in table.column_names
                asked = table[name].cast(kind) if has else pa.nulls(len(table), kind)
                yield (
                    table.select(_WANTED)
                    .append_column(name, asked)
                    .append_column("value", value.cast(value_type))
                    .append_column("directory", pa.array([number] * len(table), pa.int32()))
                )

    def _columns(self, held: pa.Schema) -> list[str]:
        """What is wanted of a unit that holds these; extras are not in every directory."""
        own = [self.column.name] if self.column is not None else []
        own += [_QUESTIONS.name] if _QUESTIONS.name in held.names else []
        seen = self.frames.columns if self.frames is not None else []
        extras = [name for name in seen if name not in COLUMNS]
        seen = [name for name in seen if name not in extras or name in held.names]
        return list(dict.fromkeys([*_WANTED, *own, *seen]))

    def _read_all(self, step_dir: StepDir) -> Iterator[pa.Table]:
        """Several units at once: of texts as many as there may be requests, of pixels no more than
        `AHEAD_BYTES`."""
        most = DISK_AHEAD if step_dir.folder.is_local else REQUESTS_AT_ONCE
        if self.frames is not None:
            files = (record.data for record in step_dir.records().values())
            largest = max((file.num_bytes for file in files if file is not None), default=1)
            most = min(most, AHEAD_BYTES // largest)
        if most:
            for table, footer in in_order(step_dir.units(), self._read, ahead=most):
                self._count(footer)
                yield table
            return
        for unit in step_dir.units():
            columns = self._columns(self._checked(unit))
            self._count(unit.metadata())
            for _, table in unit.row_groups(columns):
                yield table

    def _read(self, unit: CommittedUnit) -> tuple[pa.Table, pq.FileMetaData]:
        """The footer is asked for once, whoever needs it."""
        columns = self._columns(self._checked(unit))
        footer = unit.metadata()
        return unit.table(columns), footer

    def _checked(self, unit: CommittedUnit) -> pa.Schema:
        found = unit.schema()
        if self.column is not None:
            self.column.check(found, unit.folder.uri)
        return found

    def _count(self, footer: pq.FileMetaData) -> None:
        if self.frames is not None:
            self.frames.count(footer)
