"""What a command tells a person: progress while it works, one summary table at the end."""

from __future__ import annotations

import errno
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from mama_augment.core.reasons import reason_of
from mama_augment.core.store.ledger import Ledger

if TYPE_CHECKING:
    from mama_augment.keyframes.cut_step import Uncut

EXAMPLE_CHARACTERS = 160
UNSPLIT_EXAMPLES = 3
DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENAMETOOLONG),
)
"""A disk that is full, may not be written to, or is gone; object stores give no number."""

console = Console()
error_console = Console(stderr=True)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "")


class StepProgress:
    """Counts items done and shows them; also measures the rate for the summary."""

    def __init__(self, bar: Progress, task_id: int) -> None:
        self._bar = bar
        self._task_id = task_id
        self.num_done = 0
        self.started = time.monotonic()

    def advance(self, num_items: int = 1) -> None:
        self.num_done += num_items
        self._bar.advance(self._task_id, num_items)  # type: ignore[arg-type]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


@contextmanager
def step_progress(description: str, num_total: int, num_done: int = 0) -> Iterator[StepProgress]:
    """A rich progress bar over `num_total` items, `num_done` of them from an earlier run."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console) as bar:
        task_id = bar.add_task(description, total=num_total, completed=num_done)
        yield StepProgress(bar, task_id)


def print_ledger(
    ledger: Ledger, *, noun: str, out: str, num_done: int = 0, seconds: float | None = None
) -> None:
    """The summary table of a step: the ledger, the rate of this run, where the output lies.

    Without `seconds` nothing was run, and no rate is shown.
    """
    table = Table(title=f"mama-augment {ledger.step}", title_justify="left")
    columns = ["in", "ok", "rejected", "failed", "pending"]
    for column in columns if seconds is None else [*columns, "rate"]:
        table.add_column(column, justify="right")
    rates = []
    if seconds is not None:
        rates = [f"{num_done / seconds:,.1f} {noun}/s" if num_done else "nothing to do"]
    counts = (
        ledger.num_in,
        ledger.num_ok,
        ledger.num_rejected,
        ledger.num_failed,
        ledger.num_pending,
    )
    table.add_row(*(f"{n:,}" for n in counts), *rates)
    console.print(table)
    # Below the table, where a long path is not folded and can be copied.
    console.print(f"output: {out}", soft_wrap=True, highlight=False)
    for problem in ledger.problems:
        error_console.print(f"[red]accounting:[/red] {problem}")
    if seconds is not None and ledger.num_rejected + ledger.num_failed:
        error_console.print(f"`mama-augment status {out}` says why items left.", soft_wrap=True)
    if ledger.num_failed:
        error_console.print("Some items failed; `--retry-failed` tries only those again.")
    if ledger.num_pending:
        error_console.print("Some items are pending; the same command continues.")


def stopped(error: OSError, out: str, noun: str) -> NoReturn:
    """End the command after an error of the disk or of an object store.

    Errors of the system that are no word about either are bugs, and raised as they are.
    """
    if error.errno is not None and error.errno not in DISK_ERRORS:
        raise error
    error_console.print(
        f"[bold red]stopped:[/bold red] {escape(str(error))}. Finished {noun} are kept in {out}; "
        "when the cause is mended, the same command continues",
        highlight=False,
        soft_wrap=True,
    )
    raise typer.Exit(1)


def print_unsplit(unsplit: Sequence[Uncut]) -> None:
    """Videos that stay one clip because splitting them failed, and what to do."""
    if not unsplit:
        return
    named = "; ".join(f"{u.clip_id} ({u.reason}: {u.message})" for u in unsplit[:UNSPLIT_EXAMPLES])
    more = "; …" if len(unsplit) > UNSPLIT_EXAMPLES else ""
    error_console.print(
        f"[bold]not split:[/bold] {len(unsplit):,} of the videos could not be split and stay one "
        f"clip each: {escape(named)}{more}. Mend the cause (the file, --time-limit-seconds, "
        "--memory-limit-mb) and run with --overwrite, which splits anew; --retry-failed keeps "
        "them whole",
        highlight=False,
        soft_wrap=True,
    )


def print_reasons(
    reasons: Counter[tuple[str, str]], examples: Mapping[tuple[str, str], str]
) -> None:
    """Why items left the flow: one line per verdict and reason, with one item as an example."""
    if not reasons:
        return
    table = Table(title="why items left", title_justify="left")
    for column in ("verdict", "reason", "items", "for example"):
        table.add_column(column, justify="right" if column == "items" else "left", overflow="fold")
    for (verdict, reason), num_items in reasons.most_common():
        example = textwrap.shorten(examples[verdict, reason], EXAMPLE_CHARACTERS, placeholder="…")
        table.add_row(verdict, reason, f"{num_items:,}", example)
    console.print(table)


def print_left_out(left_out: Mapping[str, int]) -> None:
    """Clips that get no caption: they are no items of the step, and are told of beside it."""
    for reason, num_clips in left_out.items():
        clips = "1 clip gets" if num_clips == 1 else f"{num_clips:,} clips get"
        why = reason_of("caption", reason).text
        console.print(f"{clips} no caption, {reason}: {why}", soft_wrap=True, highlight=False)
