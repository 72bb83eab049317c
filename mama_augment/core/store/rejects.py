"""Why items left a step, counted from its files, with a few of them as examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mama_augment.core.breaker import LEAST_ITEMS_OF_ALL, everybodys_fault
from mama_augment.core.ledger import Reject
from mama_augment.core.reasons import is_shared
from mama_augment.core.store.committed import in_parallel
from mama_augment.core.store.records import Reasons, UnitRecord
from mama_augment.core.store.step_dir import StepDir

NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class ReasonCount:
    """How many items of a step left for one reason."""

    step: str
    verdict: str
    reason: str
    num_items: int
    examples: tuple[tuple[str, str], ...]
    """Up to NUM_EXAMPLES (id, message) pairs."""


def count_reasons(step_dir: StepDir) -> list[ReasonCount]:
    """Every reason of a step, the most frequent first.

    The counts are in the names of the records; for examples, a few units are read.
    """
    counts: Counter[tuple[str, str]] = Counter()
    units: dict[tuple[str, str], list[UnitRecord]] = defaultdict(list)
    for record in step_dir.records().values():
        for key, number in reasons_of(step_dir, record).items():
            counts[key] += number
            if len(units[key]) < NUM_EXAMPLES:
                units[key].append(record)
    examples = _examples(step_dir, units)
    return [
        ReasonCount(
            step=step_dir.step,
            verdict=key[0],
            reason=key[1],
            num_items=number,
            examples=tuple(examples[key]),
        )
        for key, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def reasons_of(step_dir: StepDir, record: UnitRecord) -> Reasons:
    """Why items of a unit left; read from its record where the name has no room for it."""
    if record.reasons is not None:
        return record.reasons
    return UnitRecord.from_json(step_dir.folder.read_bytes(record.name)).reasons or {}


def _examples(
    step_dir: StepDir, units: Mapping[tuple[str, str], list[UnitRecord]]
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Up to NUM_EXAMPLES (id, message) of each (verdict, reason), from these of its units."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {key: [] for key in units}
    records = {record.unit_id: record for some in units.values() for record in some}
    for unit_id in sorted(records):
        for reject in rejects_of(step_dir, records[unit_id]):
            some = found.get((reject.verdict, reject.reason))
            if some is not None and len(some) < NUM_EXAMPLES:
                some.append((reject.id, reject.message))
    return found


def all_rejects(step_dir: StepDir) -> Iterator[Reject]:
    """Rejects of every unit, rejected rows of its data among them."""
    left = [r for r in step_dir.records().values() if r.num_rejected + r.num_failed]
    for some in in_parallel(step_dir.folder, left, lambda r: list(rejects_of(step_dir, r))):
        yield from some


def rejects_of(step_dir: StepDir, record: UnitRecord) -> Iterator[Reject]:
    """Rejects of one unit, rejected rows of its data among them."""
    yield from step_dir.read_rejects(record)
    if not (step_dir.rows.holds_rejected and record.num_rejected):
        return
    columns = ["clip_id", "caption_index", "status", "reason", "raw_text"]
    table = step_dir.read_data(record, columns)
    for row in table.to_pylist() if table is not None else ():
        if row["status"] == "rejected":
            yield Reject(
                id=f"{row['clip_id']}#{row['caption_index']}",
                step=step_dir.step,
                verdict="rejected",
                reason=row["reason"] or "unknown",
                message=row["raw_text"] or "(the model said nothing)",
            )


def check_not_everybody(step_dir: StepDir, unit_ids: Sequence[str]) -> None:
    """Refuse that nothing is ok for one reason that is no item's own.

    unit_ids: those of this run, which would be taken back.

    Raises:
        EverybodysFaultError: all items of the directory left for it.
    """
    records = step_dir.reread().records()
    kinds = {code for record in records.values() for _, code in record.reasons or ()}
    num_items = sum(records[unit_id].num_in for unit_id in unit_ids if unit_id in records)
    if any(r.num_ok or r.reasons is None for r in records.values()) or len(kinds) != 1:
        return
    (reason,) = kinds
    if num_items >= LEAST_ITEMS_OF_ALL and is_shared(step_dir.step, reason):
        left = next(record for record in records.values() if record.num_in)
        example = next(rejects_of(step_dir, left)).message
        raise everybodys_fault(step_dir.step, reason, num_items, example)
