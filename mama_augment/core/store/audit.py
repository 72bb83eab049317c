"""Prove a step's accounting from its files: every record, every row, every reject."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.ledger import Ledger
from mama_augment.core.store.records import UnitRecord
from mama_augment.core.store.step_dir import StepDir

UNREADABLE = (OSError, KeyError, TypeError, pa.ArrowException)
"""What reading a damaged file raises; the last two also where its columns are others."""


def audit(step_dir: StepDir, *, deep: bool = False) -> Ledger:
    """The ledger of a step directory, with every disagreement named.

    Counts come from the Parquet files themselves (row counts, statuses, verdicts) and must agree
    with the commit records and the manifest. `deep` also hashes each file.
    """
    problems: list[str] = []
    num_ok = num_rejected = num_failed = num_pending = num_units_pending = 0
    records = step_dir.reread().records()
    for unit_id, num_in in step_dir.manifest.units.items():
        record = records.get(unit_id)
        if record is None:
            num_pending += num_in
            num_units_pending += 1
            continue
        found = _count(step_dir, record, problems)
        recorded = (record.num_ok, record.num_rejected, record.num_failed)
        if found != recorded:
            problems.append(
                f"unit {unit_id}: files hold (ok, rejected, failed) = {found}, "
                f"its record says {recorded}"
            )
        if sum(found) != num_in:
            problems.append(f"unit {unit_id}: {num_in} in, {sum(found)} accounted for")
        if deep:
            problems.extend(_hash_problems(step_dir, record))
        num_ok += found[0]
        num_rejected += found[1]
        num_failed += found[2]
    return Ledger(
        step=step_dir.step,
        num_in=sum(step_dir.manifest.units.values()),
        num_ok=num_ok,
        num_rejected=num_rejected,
        num_failed=num_failed,
        num_pending=num_pending,
        num_units=len(step_dir.manifest.units),
        num_units_pending=num_units_pending,
        problems=tuple(problems),
    )


def pending_reasons(step_dir: StepDir) -> Iterator[str]:
    """Why each pending unit is pending: the file that is missing, cut short or not readable."""
    records = step_dir.records()
    sizes = step_dir.folder.sizes_bytes(recursive=True)
    again = f"run the same `mama-augment {step_dir.step}` again; it redoes the unit"
    for unit_id in step_dir.manifest.units:
        if unit_id in records:
            continue
        name = f"units/{unit_id}.json"
        record = step_dir.record(unit_id)
        if record is None:
            what = "is not a commit record" if name in sizes else "is missing"
            yield f"unit {unit_id} is pending: {name} {what}; {again}"
            continue
        for file, size, _ in record.files():
            if file not in sizes:
                yield f"unit {unit_id} is pending: {file} is missing; {again}"
            elif sizes[file] != size:
                yield (
                    f"unit {unit_id} is pending: {file} has {sizes[file]:,} bytes, "
                    f"{name} says {size:,}; {again}"
                )


def _count(step_dir: StepDir, record: UnitRecord, problems: list[str]) -> tuple[int, int, int]:
    """(ok, rejected, failed) items of one unit, read from its files.

    A file that cannot be read becomes a problem, and the record is believed for the counts.
    """
    name = record.data_file
    try:
        num_ok, num_rejected = _count_data(step_dir, record)
        name = record.rejects_file
        rejects = step_dir.read_rejects(record)
    except UNREADABLE as error:
        problems.append(f"{name}: not readable as Parquet ({error})")
        return record.num_ok, record.num_rejected, record.num_failed
    num_failed = sum(r.verdict == "failed" for r in rejects)
    return num_ok, num_rejected + len(rejects) - num_failed, num_failed


def _count_data(step_dir: StepDir, record: UnitRecord) -> tuple[int, int]:
    """(ok, rejected) rows of a unit's data file."""
    if not record.data_file:
        return 0, 0
    with step_dir.folder.open_input(record.data_file) as stream:
        file = pq.ParquetFile(stream)
        rows = step_dir.rows
        num_rows = file.metadata.num_rows
        table: pa.Table | None = file.read(columns=list(rows.columns)) if rows.columns else None
    num_ok = num_rows if table is None else rows.num_ok(table)
    return num_ok, num_rows - num_ok if rows.holds_rejected else 0


def _hash_problems(step_dir: StepDir, record: UnitRecord) -> list[str]:
    return [
        f"{name}: its bytes do not have the recorded sha256 {sha256[:12]}…"
        for name, _, sha256 in record.files()
        if hashlib.sha256(step_dir.folder.read_bytes(name)).hexdigest() != sha256
    ]
