"""Why items left a step, counted from its files, with a few of them as examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from mama_augment.core.ledger import Reject
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
    """Every reason of a step, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for reject in all_rejects(step_dir):
        key = reject.verdict, reject.reason
        counts[key] += 1
        if len(examples[key]) < NUM_EXAMPLES:
            examples[key].append((reject.id, reject.message))
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


def all_rejects(step_dir: StepDir) -> Iterator[Reject]:
    """Rejects of every unit, rejected rows of its data among them."""
    columns = ["clip_id", "caption_index", "status", "reason", "raw_text"]
    for record in step_dir.records().values():
        yield from step_dir.read_rejects(record)
        if not (step_dir.rows.holds_rejected and record.num_rejected):
            continue
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
