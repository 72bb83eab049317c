"""Several directories of one step, read by the next one as if they were one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.manifest import fingerprint
from mama_augment.core.store.committed import CommittedUnit, in_order
from mama_augment.core.store.records import UnitRecord
from mama_augment.core.store.step_dir import StepDir


@dataclass(frozen=True)
class StepDirs:
    """The directories, in order. A unit of the first is called as there; one of the others has the
    directory's number before it (`1-000012`), so that a directory that is added renames nothing."""

    dirs: tuple[StepDir, ...]

    @classmethod
    def open(
        cls,
        uris: str | Sequence[str],
        *,
        step: str,
        known: Sequence[Mapping[str, str]] = (),
    ) -> StepDirs:
        """Open the outputs of a step.

        known: the directories that were read before, as `sources` gave them; they come first, in
            that order, wherever they lie now.

        Raises:
            InputError: as `StepDir.open`; a directory is given twice, or one that is known is not
                given, or holds other items by now.
        """
        opened = [
            StepDir.open(uri, step=step) for uri in ((uris,) if isinstance(uris, str) else uris)
        ]
        by_identity = {identity_of(step_dir): step_dir for step_dir in opened}
        if len(by_identity) < len(opened):
            given = ", ".join(str(step_dir.folder) for step_dir in opened)
            raise InputError(
                f"a directory, or a copy of it, is given twice: {given}; give each once"
            )
        for source in known:
            if source["id"] not in by_identity:
                raise InputError(
                    f"{source['uri']!r} was read before; it is not given now, or holds others by "
                    "now. Give it too, or another --out (`--reuse` takes captions over)"
                )
        first = [by_identity.pop(source["id"]) for source in known]
        return cls((*first, *by_identity.values()))

    @property
    def uri(self) -> str:
        """For messages."""
        return ", ".join(str(step_dir.folder) for step_dir in self.dirs)

    @property
    def sources(self) -> list[dict[str, str]]:
        """What a manifest remembers of them."""
        return [
            {"uri": shown(step_dir.folder.absolute), "id": identity_of(step_dir)}
            for step_dir in self.dirs
        ]

    def records(self) -> dict[str, UnitRecord]:
        """By the unit's name here: the records that count, in order."""
        return {
            name_of(number, unit_id): record
            for number, step_dir in enumerate(self.dirs)
            for unit_id, record in step_dir.records().items()
        }

    def pending(self) -> list[str]:
        """Units without a record that counts."""
        return [
            name_of(number, unit_id)
            for number, step_dir in enumerate(self.dirs)
            for unit_id in step_dir.units_to_do()
        ]

    @property
    def num_units(self) -> int:
        return sum(len(step_dir.manifest.units) for step_dir in self.dirs)

    def units(self) -> Iterator[CommittedUnit]:
        """Every committed unit that has rows, in order; nothing is read yet."""
        for step_dir in self.dirs:
            yield from step_dir.units()

    def named_units(self) -> Iterator[tuple[str, CommittedUnit]]:
        """As `units`, with their names here."""
        for number, step_dir in enumerate(self.dirs):
            for unit in step_dir.units():
                yield name_of(number, unit.record.unit_id), unit

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The data of every committed unit, in order, a few units in memory at a time."""
        return in_order(self.units(), lambda unit: unit.table(columns))

    def input_fingerprint(self) -> str:
        """What a next step remembers of their committed content."""
        found = [step_dir.input_fingerprint() for step_dir in self.dirs]
        return found[0] if len(found) == 1 else fingerprint(found)


def identity_of(step_dir: StepDir) -> str:
    """What stays the same of a directory when it grows or moves, and not when it is made anew of
    other items or with other settings: its config, and what its first units are made from."""
    manifest = step_dir.manifest
    first = manifest.generations[0] if manifest.generations else {}
    return fingerprint([manifest.config_hash, first.get("clips", manifest.input_fingerprint)])


def name_of(number: int, unit_id: str) -> str:
    """A unit's name among those of several directories."""
    return unit_id if number == 0 else f"{number}-{unit_id}"
