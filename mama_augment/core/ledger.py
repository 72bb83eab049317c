"""The counts that must add up: in = ok + rejected + failed + pending, per step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from mama_augment.core.reasons import verdict_of
from mama_augment.core.schema import HELD_OUT


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What became of every item of a step. `problems` names what does not add up."""

    step: str
    num_in: int
    num_ok: int
    num_rejected: int
    num_failed: int
    num_pending: int
    num_units: int
    num_units_pending: int
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        accounted = self.num_ok + self.num_rejected + self.num_failed + self.num_pending
        return not self.problems and accounted == self.num_in

    @property
    def is_finished(self) -> bool:
        """Whether nothing is pending."""
        return not self.num_pending

    @property
    def is_barren(self) -> bool:
        """Whether all is done and nothing came of it."""
        return self.is_finished and self.num_in > 0 and not self.num_ok

    @property
    def is_well(self) -> bool:
        """Whether all adds up, and nothing failed or is pending."""
        return self.holds and self.is_finished and not self.num_failed

    @property
    def exit_code(self) -> int:
        """0 when all is ok or rejected; 1 when something failed, is pending or is unaccounted, or
        when nothing is ok."""
        return 0 if self.is_well and not self.is_barren else 1


@dataclass(frozen=True, kw_only=True)
class Reject:
    """An item that left the flow of a step.

    verdict: `rejected` (a verdict on the input, the same every run) or `failed` (timeout, crash,
    I/O, memory: worth a retry). reason: a short code; message: what a person needs to act.
    """

    id: str
    step: str
    verdict: str
    reason: str
    message: str
    attempts: int = 1

    def __post_init__(self) -> None:
        assert self.verdict in ("rejected", "failed"), self.verdict

    @classmethod
    def of(cls, step: str, reason: str, *, id: str, message: str, attempts: int = 1) -> Reject:
        """A new reject, for a registered reason of its step, which tells the verdict.

        Those read from a directory are taken as they are: another version may have named others.
        """
        return cls(
            id=id,
            step=step,
            verdict=verdict_of(step, reason),
            reason=reason,
            message=message,
            attempts=attempts,
        )


@dataclass(frozen=True)
class StepTable:
    """How the rows of a step's data files are accounted: which of them are how many items."""

    columns: tuple[str, ...] = ()
    """What `num_ok` reads, of those that a file has; none: row counts suffice."""
    num_ok: Callable[[pa.Table], int] = lambda table: table.num_rows
    """Items of a table that are ok."""
    holds_rejected: bool = False
    """Rows that are not ok are rejected items, with their reason in the column `reason`."""
    num_held_out: Callable[[pa.Table], int] = lambda table: 0
    """Rows that a captioner leaves out because `balance` takes no generated text for them."""


def _num_held_out(table: pa.Table) -> int:
    import pyarrow.compute as pc

    if "split" not in table.column_names:
        return 0
    return int(pc.sum(pc.is_in(table["split"], pa.array(HELD_OUT))).as_py() or 0)


def _num_ok_captions(table: pa.Table) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.equal(table["status"], "ok")).as_py() or 0)


def _num_kept_texts(table: pa.Table) -> int:
    import pyarrow.compute as pc

    # What of a row is kept: its captions and, where it has such, its questions.
    names = [name for name in ("captions", "questions") if name in table.column_names]
    return sum(int(pc.sum(pc.list_value_length(table[name])).as_py() or 0) for name in names)


STEP_TABLES = {
    "keyframes": StepTable(num_held_out=_num_held_out),
    "caption": StepTable(("status",), _num_ok_captions, holds_rejected=True),
    "balance": StepTable(("captions", "questions"), _num_kept_texts),
    "review": StepTable(("status",), _num_ok_captions, holds_rejected=True),
}
"""By the step's name, which is all that a directory on disk says of it."""
