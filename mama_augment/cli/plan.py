"""The command `plan`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mama_augment.budget.spend import BudgetConfig
from mama_augment.cli.spread import SPREAD_COLUMNS, spread_cells
from mama_augment.concepts.base import ConceptConfig
from mama_augment.core.fields import option
from mama_augment.core.shared import say

if TYPE_CHECKING:
    from mama_augment.budget.step import CaptionPlan

CONCEPTS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class PlanCommand:
    """Spend a budget of captions where concepts are rare; `caption --plan` follows the plan."""

    directories: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of `keyframes` (one or more) and of `caption`, in any order; usually there are no
    captions yet."""
    budget: BudgetConfig
    out: str = "plan.parquet"
    """The plan to write."""
    concepts: ConceptConfig = field(metadata=option(panel="Concepts"))
    dry_run: bool = False
    """Print the forecast, and write nothing."""

    def __call__(self) -> int:
        from mama_augment.balance.source.inputs import Inputs
        from mama_augment.budget.step import plan_captions
        from mama_augment.core.store.files import output_file

        out = None if self.dry_run else self.out
        with say.terminal() as tell:
            if out is not None:
                output_file(out)  # before anything is read
            inputs = Inputs.sort(self.directories)
            plan = plan_captions(inputs, self.concepts, self.budget, out, tell.phase)
        show_plan(plan)
        if out is not None:
            say.say(f"plan: {out}; follow it with `mama-augment caption --plan {out}`")
        say.summary(
            {
                "plan": out,
                "captions": plan.num_planned,
                "unspent": plan.num_unspent,
                "skipped": plan.num_skipped,
                "clips": plan.num_clips,
                "clips_planned": plan.num_clips_planned,
            }
        )
        return 0


def show_plan(plan: CaptionPlan) -> None:
    """The forecast of visits, the concepts that gain, and what needs a person's attention."""
    from mama_augment.concepts.histogram import spread

    present = plan.counts_after > 0
    rows = [
        (label, *spread_cells(dataclasses.asdict(spread(counts, present)), int(counts.sum())))
        for label, counts in (
            ("texts there are", plan.counts_before),
            ("with planned captions", plan.counts_after),
        )
    ]
    columns = ("", *SPREAD_COLUMNS)
    say.table("forecast of visits per concept", columns, rows, right=SPREAD_COLUMNS)
    show_gains(plan)
    say.say(
        f"{plan.num_planned:,} captions for {plan.num_clips_planned:,} of {plan.num_clips:,} clips"
    )
    if plan.num_skipped:
        say.say(f"{plan.num_skipped:,} clips get none because of their flags (--skip-flags)")
    if not plan.num_clips_known:
        say.tell(
            f"no clip is about any of the {len(plan.names):,} concepts, so the budget is spread "
            "without knowing what is rare. Check --concepts and its options, or give texts",
            "warning",
        )
    if plan.num_unspent:
        say.tell(
            f"{plan.num_unspent:,} captions of the budget are left: "
            "every clip that could take one has reached --max-per-clip, or every concept --cap",
            "warning",
        )


def show_gains(plan: CaptionPlan) -> None:
    """The concepts that gain most, and how much."""
    gains = plan.counts_after - plan.counts_before
    order = sorted(range(len(gains)), key=lambda i: (-int(gains[i]), i))[:CONCEPTS_SHOWN]
    for i in order:
        if gains[i]:
            say.say(f"  {plan.names[i]}: {plan.counts_before[i]:,} → {plan.counts_after[i]:,}")
