"""The command `status`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.cli.running import ledger_fields, show_ledger, show_left_out, show_reasons
from mama_augment.core.fields import option
from mama_augment.core.shared import say


@dataclass(frozen=True, kw_only=True)
class StatusCommand:
    """Prove a step's accounting from its files: in = ok + rejected + failed + pending."""

    directory: str = field(metadata=option(positional=True))
    """A step's output directory."""
    deep: bool = False
    """Also read every file and check its sha256."""

    def __call__(self) -> int:
        from mama_augment.core.store.audit import audit
        from mama_augment.core.store.rejects import count_reasons
        from mama_augment.core.store.step_dir import StepDir

        step_dir = StepDir.open(self.directory)
        ledger = audit(step_dir, deep=self.deep)
        show_ledger(ledger, noun="items", out=self.directory)
        show_left_out(step_dir.manifest.left_out)
        reasons = count_reasons(step_dir)
        show_reasons(reasons)
        say.summary(
            {
                **ledger_fields(ledger, self.directory),
                "left_out": dict(step_dir.manifest.left_out),
                "reasons": [
                    {"verdict": r.verdict, "reason": r.reason, "items": r.num_items}
                    for r in reasons
                ],
            }
        )
        return ledger.exit_code
