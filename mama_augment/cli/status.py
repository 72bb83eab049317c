"""The command `status`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mama_augment.cli.running import ledger_fields, show_ledger, show_left_out, show_reasons
from mama_augment.core.errors import check_choice
from mama_augment.core.fields import option
from mama_augment.core.shared import say

if TYPE_CHECKING:
    from mama_augment.core.store.step_dir import StepDir

LISTS = ("rejected", "failed", "all")


@dataclass(frozen=True, kw_only=True)
class StatusCommand:
    """Prove a step's accounting from its files: in = ok + rejected + failed + pending."""

    directory: str = field(metadata=option(positional=True))
    """A step's output directory."""
    deep: bool = False
    """Also read every file and check its sha256."""
    list_of: str | None = field(default=None, metadata=option("--list", choices=LISTS))
    """Also list every item that left, with its reason and message."""

    def __call__(self) -> int:
        from mama_augment.core.store.audit import audit
        from mama_augment.core.store.rejects import count_reasons
        from mama_augment.core.store.step_dir import StepDir

        if self.list_of is not None:
            check_choice("--list", self.list_of, LISTS)
        step_dir = StepDir.open(self.directory)
        ledger = audit(step_dir, deep=self.deep)
        show_ledger(ledger, noun="items", out=self.directory)
        show_left_out(step_dir.manifest.left_out)
        reasons = count_reasons(step_dir)
        show_reasons(reasons)
        items = self._items(step_dir)
        say.summary(
            {
                **ledger_fields(ledger, self.directory),
                "left_out": dict(step_dir.manifest.left_out),
                "reasons": [
                    {"verdict": r.verdict, "reason": r.reason, "items": r.num_items}
                    for r in reasons
                ],
                **({} if self.list_of is None else {"items": items}),
            }
        )
        return ledger.exit_code

    def _items(self, step_dir: StepDir) -> list[dict[str, str]]:
        """What left, and is shown as it is read; kept for `--json` alone."""
        from mama_augment.core.store.rejects import all_rejects

        kept = []
        for reject in all_rejects(step_dir) if self.list_of is not None else ():
            if self.list_of not in ("all", reject.verdict):
                continue
            say.say(f"{reject.verdict} {reject.reason} {reject.id}: {reject.message}")
            if say.is_json():
                names = ("id", "verdict", "reason", "message")
                kept.append({name: getattr(reject, name) for name in names})
        return kept
