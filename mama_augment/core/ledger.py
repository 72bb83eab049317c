"""The counts that must add up: in = ok + rejected + failed + pending, per step."""

from __future__ import annotations

from dataclasses import dataclass

from mama_augment.core.reasons import verdict_of


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
