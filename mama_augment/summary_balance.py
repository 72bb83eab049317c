"""`balance` for a person: phases while it works, then the ledger, the splits and the spread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.table import Table

from mama_augment.ledger import Ledger
from mama_augment.runtime import RuntimeConfig
from mama_augment.schema import SPLITS
from mama_augment.shard_stats import STATS_NAME
from mama_augment.steps.balance import BalanceStep, run_step
from mama_augment.store import StepDir
from mama_augment.summary import (
    StepProgress,
    console,
    error_console,
    print_ledger,
    step_progress,
)


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
    with ExitStack() as stack:
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
    ledger = step_dir.ledger()
    print_ledger(ledger, noun="texts", out=out, num_done=bars[0].num_done, seconds=bars[0].seconds)
    print_stats(json.loads(step_dir.folder.read_bytes(STATS_NAME)))
    return ledger


def print_stats(stats: dict[str, Any]) -> None:
    """Splits, the spread of concepts before and after, and what needs a person's attention."""
    splits = ", ".join(
        f"{split} {stats['splits'][split]['num_rows']:,} clips "
        f"({stats['splits'][split]['num_captions']:,} captions)"
        for split in SPLITS
    )
    console.print(splits, highlight=False, soft_wrap=True)
    table = Table(title="concepts among training visits", title_justify="left")
    for column in ("", "visits", "effective number", "Gini", "head/tail ratio"):
        table.add_column(column, justify="right" if column else "left")
    labels = {"given": "texts given", "before": "with generated", "after": "balanced"}
    for name, label in labels.items():
        row = stats["train_visits"][name]
        ratio = row["head_tail_ratio"]
        table.add_row(
            label,
            f"{row['num_visits']:,}",
            f"{row['effective_number']:.2f} of {row['num_concepts']}",
            f"{row['gini']:.3f}",
            "no tail" if ratio is None else f"{ratio:,.1f}",
        )
    console.print(table)
    if stats["rejects"]:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in stats["rejects"].items())
        console.print(f"not kept: {reasons}", highlight=False, soft_wrap=True)
    for warning in stats["warnings"]:
        error_console.print(f"[yellow]warning:[/yellow] {warning}", highlight=False, soft_wrap=True)
