"""Prove a step's accounting: from the listing of its directory, or from every byte of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from mama_augment.core.ledger import Ledger
from mama_augment.core.shares import Share
from mama_augment.core.store.committed import CommittedUnit, in_parallel
from mama_augment.core.store.records import NOTHING, Published, UnitRecord, is_record, unit_of
from mama_augment.core.store.step_dir import StepDir

UNREADABLE = (OSError, KeyError, TypeError, ValueError, pa.ArrowException)
"""What reading a damaged file raises; the last ones also where its columns are others."""


def audit(step_dir: StepDir, *, deep: bool = False, share: Share | None = None) -> Ledger:
    """The ledger of a step directory, with every disagreement named.

    Counts come from the names of commit records, whose files must be there with the sizes that they
    name. `deep` reads every file instead: rows, statuses and verdicts are counted, hashes compared
    with the records' contents, and all must agree. share: only its units.
    """
    units = step_dir.manifest.units
    if share is not None:
        units = {unit_id: units[unit_id] for unit_id in share.of(units)}
    everywhere = step_dir.reread().records()
    records = {unit_id: everywhere[unit_id] for unit_id in units if unit_id in everywhere}
    problems = [
        f"unit {unit_id}: {num_in} in, {record.num_in} accounted for"
        for unit_id, num_in in units.items()
        if (record := records.get(unit_id)) is not None and record.num_in != num_in
    ]
    if deep:
        found = in_parallel(
            step_dir.folder, records.values(), lambda record: list(_problems(step_dir, record))
        )
        problems += [problem for some in found for problem in some]
    pending = [unit_id for unit_id in units if unit_id not in records]
    return Ledger(
        step=step_dir.step,
        num_in=sum(units.values()),
        num_ok=sum(record.num_ok for record in records.values()),
        num_rejected=sum(record.num_rejected for record in records.values()),
        num_failed=sum(record.num_failed for record in records.values()),
        num_pending=sum(units[unit_id] for unit_id in pending),
        num_units=len(units),
        num_units_pending=len(pending),
        problems=tuple(problems),
    )


def pending_reasons(step_dir: StepDir) -> Iterator[str]:
    """Why each pending unit is pending: the file that is missing, cut short or out of date."""
    done = step_dir.records()
    sizes = step_dir.sizes
    again = f"run the same `mama-augment {step_dir.step}` again; it redoes the unit"
    last: dict[str, UnitRecord] = {}
    for name in sizes:
        record = UnitRecord.from_name(name) if is_record(name) else None
        if record is not None and unit_of(name) not in done:
            last[record.unit_id] = record
    for unit_id in step_dir.manifest.units:
        if unit_id in done:
            continue
        record = last.get(unit_id)
        if record is None:
            yield f"unit {unit_id} is pending: it has no commit record; {again}"
            continue
        why = "its input has changed since"
        if record.input_digest == step_dir.manifest.digests.get(unit_id, NOTHING):
            why = "; ".join(_lacking(record, dict(sizes)))
        yield f"unit {unit_id} is pending: {why}; {again}"


def _lacking(record: UnitRecord, sizes: dict[str, int]) -> Iterator[str]:
    for file in record.files():
        if file.name not in sizes:
            yield f"{file.name} is missing"
        elif sizes[file.name] != file.num_bytes:
            yield (
                f"{file.name} has {sizes[file.name]:,} bytes, its commit record says "
                f"{file.num_bytes:,}"
            )


def _problems(step_dir: StepDir, record: UnitRecord) -> Iterator[str]:
    """What does not agree about one unit, with every file of it read."""
    try:
        content = UnitRecord.from_json(step_dir.folder.read_bytes(record.name))
    except UNREADABLE as error:
        yield f"{record.name}: not readable as a commit record ({error!r})"
        content = record
    if content.name != record.name:
        yield f"{record.name}: it holds the record of {content.name}"
    for file in content.files():
        yield from _hash_problems(step_dir, file)
    name = record.data_file
    try:
        num_ok, num_rejected = _count_data(step_dir, record)
        name = record.rejects.name if record.rejects else ""
        rejects = step_dir.read_rejects(record)
    except UNREADABLE as error:
        yield f"{name}: not readable as Parquet ({error})"
        return
    num_failed = sum(r.verdict == "failed" for r in rejects)
    found = (num_ok, num_rejected + len(rejects) - num_failed, num_failed)
    recorded = (record.num_ok, record.num_rejected, record.num_failed)
    if found != recorded:
        yield (
            f"unit {record.unit_id}: files hold (ok, rejected, failed) = {found}, "
            f"its record says {recorded}"
        )


def _count_data(step_dir: StepDir, record: UnitRecord) -> tuple[int, int]:
    """(ok, rejected) rows of a unit's data file."""
    if record.data is None:
        return 0, 0
    unit, rows = CommittedUnit(step_dir.folder, record), step_dir.rows
    num_rows = unit.metadata().num_rows
    read = [name for name in rows.columns if name in unit.schema().names]
    num_ok = rows.num_ok(unit.table(read)) if rows.columns else num_rows
    return num_ok, num_rows - num_ok if rows.holds_rejected else 0


def _hash_problems(step_dir: StepDir, file: Published) -> Iterator[str]:
    try:
        found = hashlib.sha256(step_dir.folder.read_bytes(file.name)).hexdigest()
    except OSError as error:
        yield f"{file.name}: cannot be read ({error})"
        return
    if not found.startswith(file.sha256):
        yield f"{file.name}: its bytes do not have the recorded sha256 {file.sha256[:12]}…"
