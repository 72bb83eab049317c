"""`balance` for a person: phases while it works, then the ledger, the splits and the spread."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.markup import escape
from rich.table import Table

from mama_augment.balance.stats import STATS_NAME
from mama_augment.balance.step import BalanceStep, run_step
from mama_augment.budget.spend import BudgetConfig
from mama_augment.budget.step import CaptionPlan, make_caption_plan
from mama_augment.cli.summary import (
    StepProgress,
    console,
    error_console,
    print_ledger,
    step_progress,
)
from mama_augment.concepts import ConceptConfig
from mama_augment.concepts.histogram import spread
from mama_augment.core.ledger import Ledger
from mama_augment.core.schema import SPLITS
from mama_augment.core.store.audit import audit
from mama_augment.core.store.lock import locked
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig

SPREAD_COLUMNS = ("visits", "effective number", "Gini", "head/tail ratio")


def run_with_summary(
    clips: str,
    captions: Sequence[str],
    out: str,
    step: BalanceStep,
    runtime: RuntimeConfig,
    *,
    overwrite: bool = False,
) -> Ledger:
    """Run the step with progress on stderr and print its summary."""
    bars: list[StepProgress] = []
    with locked(out), ExitStack() as stack:
        status = stack.enter_context(error_console.status("reading"))

        def start(step_dir: StepDir) -> None:
            status.stop()
            num_items = step_dir.manifest.units
            num_done = sum(record.num_in for record in step_dir.records().values())
            total = sum(num_items.values())
            bars.append(stack.enter_context(step_progress("balance", total, num_done)))

        step_dir = run_step(
            clips,
            captions,
            out,
            step,
            runtime,
            overwrite=overwrite,
            on_phase=lambda phase: status.update(phase),
            on_start=start,
            on_done=lambda unit_id, num_items: bars[0].advance(num_items),
        )
    ledger = audit(step_dir)
    print_ledger(ledger, noun="texts", out=out, num_done=bars[0].num_done, seconds=bars[0].seconds)
    print_stats(json.loads(step_dir.folder.read_bytes(STATS_NAME)))
    return ledger


def plan_with_summary(
    clips: str,
    captions: Sequence[str],
    concepts: ConceptConfig,
    budget: BudgetConfig,
    out: str | None,
) -> None:
    """Plan captions, print the forecast, and write the plan unless `out` is None."""
    with error_console.status("reading") as status:
        plan = make_caption_plan(clips, captions, concepts, budget, out, status.update)
    table = Table(title="forecast of visits per concept", title_justify="left")
    for column in ("", *SPREAD_COLUMNS):
        table.add_column(column, justify="right" if column else "left")
    present = plan.counts_after > 0
    for label, counts in (
        ("texts there are", plan.counts_before),
        ("with planned captions", plan.counts_after),
    ):
        row = dataclasses.asdict(spread(counts, present))
        table.add_row(label, *_spread_cells(row, int(counts.sum())))
    console.print(table)
    print_gains(plan)
    console.print(
        f"{plan.num_planned:,} captions for {plan.num_clips_planned:,} of {plan.num_clips:,} clips",
        highlight=False,
    )
    if not plan.num_clips_known:
        print_warning(
            f"no clip is about any of the {len(plan.names):,} concepts, so the budget is spread "
            "without knowing what is rare. Check --concepts and its options, or give texts"
        )
    if plan.num_unspent:
        print_warning(
            f"{plan.num_unspent:,} captions of the budget have no use: "
            "every clip that could take one has --max-per-clip, or every concept has --cap"
        )
    if out is not None:
        console.print(
            f"plan: {out}; follow it with `mama-augment caption --plan {out}`",
            highlight=False,
            soft_wrap=True,
        )


def print_gains(plan: CaptionPlan, num_rows: int = 10) -> None:
    """The concepts that gain most, and how much."""
    gains = plan.counts_after - plan.counts_before
    order = sorted(range(len(gains)), key=lambda i: (-int(gains[i]), i))[:num_rows]
    for i in order:
        if gains[i]:
            console.print(
                f"  {plan.names[i]}: {plan.counts_before[i]:,} → {plan.counts_after[i]:,}",
                highlight=False,
            )


def print_stats(stats: dict[str, Any]) -> None:
    """Splits, the spread of concepts before and after, and what needs a person's attention."""
    splits = ", ".join(
        f"{split} {stats['splits'][split]['num_rows']:,} clips "
        f"({stats['splits'][split]['share']:.1%}; "
        f"{stats['splits'][split]['num_captions']:,} captions)"
        for split in SPLITS
    )
    console.print(splits, highlight=False, soft_wrap=True)
    table = Table(title="concepts among training visits", title_justify="left")
    for column in ("", *SPREAD_COLUMNS):
        table.add_column(column, justify="right" if column else "left")
    labels = {"given": "texts given", "before": "with generated", "after": "balanced"}
    for name, label in labels.items():
        row = stats["train_visits"][name]
        table.add_row(label, *_spread_cells(row, row["num_visits"]))
    console.print(table)
    if stats["rejects"]:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in stats["rejects"].items())
        console.print(f"not kept: {reasons}", highlight=False, soft_wrap=True)
    for warning in stats["warnings"]:
        print_warning(warning)


def print_warning(warning: str) -> None:
    """One warning on stderr; a text in it is never taken for markup."""
    line = f"[yellow]warning:[/yellow] {escape(warning)}"
    error_console.print(line, highlight=False, soft_wrap=True)


def _spread_cells(row: dict[str, Any], num_visits: int) -> tuple[str, ...]:
    ratio = row["head_tail_ratio"]
    return (
        f"{num_visits:,}",
        f"{row['effective_number']:.2f} of {row['num_concepts']}",
        f"{row['gini']:.3f}",
        "no tail" if ratio is None else f"{ratio:,.1f}",
    )
