"""How every command runs a step and sums it up: one ledger, the same words, the same exit codes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mama_augment.core.fields import option
from mama_augment.core.ledger import Ledger
from mama_augment.core.reasons import reason_of
from mama_augment.core.shared import say
from mama_augment.core.shares import Share
from mama_augment.core.step import Outcome, Runtime, Step, run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.rejects import ReasonCount
from mama_augment.core.store.step_dir import StepDir

EXAMPLE_CHARACTERS = 160


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Whether what is there is continued."""

    retry_failed: bool = False
    """Try again what failed, and nothing else."""
    overwrite: bool = False
    """Discard what is in the output directory."""
    share: Share | None = field(
        default=None, metadata=option(parse=Share.parse, default_shown="all")
    )
    """The part of the work that this machine does, such as 2/8: the second of eight machines, each
    with the same command and --out, at the same time or one after the other."""


def run_step(
    step: Step[StepDir], out: str, runtime: Runtime, config: RunConfig | None = None
) -> Outcome:
    """Run a step with progress on stderr, and print its ledger.

    Raises:
        EndedError: it ended early; what is kept is said in it.
    """
    config = config or RunConfig()
    output = StepOutput(out, overwrite=config.overwrite, share=config.share)
    with say.keeping(step.noun, out), say.terminal() as tell:
        outcome = run(step, output, runtime, tell, retry_failed=config.retry_failed)
    show_ledger(outcome.ledger, noun=step.noun, out=out, outcome=outcome)
    if config.share is not None:
        show_share(config.share, outcome)
    show_left_out(outcome.manifest.left_out)
    return outcome


def show_ledger(ledger: Ledger, *, noun: str, out: str, outcome: Outcome | None = None) -> None:
    """The ledger as a table, the rate of this run, where the output lies.

    Without an outcome nothing was run, and no rate is shown.
    """
    counts = {
        "in": ledger.num_in,
        "ok": ledger.num_ok,
        "rejected": ledger.num_rejected,
        "failed": ledger.num_failed,
        "pending": ledger.num_pending,
    }
    cells = {name: f"{number:,}" for name, number in counts.items()}
    if outcome is not None:
        rate = f"{outcome.num_done / max(outcome.seconds, 1e-9):,.1f} {noun}/s"
        cells["rate"] = rate if outcome.num_done else "nothing to do"
    say.table(f"mama-augment {ledger.step}", list(cells), [list(cells.values())], right="*")
    # Below the table, where a long path is not folded and can be copied.
    say.say(f"output: {out}")
    for problem in ledger.problems:
        say.tell(problem, "accounting")
    if outcome is not None and ledger.num_rejected + ledger.num_failed:
        say.tell(f"`mama-augment status {out}` says why items left.")
    if ledger.num_failed:
        say.tell("Some items failed; `--retry-failed` tries only those again.")
    is_ours = outcome is None or outcome.own.num_pending
    if ledger.num_pending and is_ours:
        say.tell("Some items are pending; the same command continues.")
    if ledger.is_barren:
        say.tell("Nothing is ok: every item left.")


def show_share(share: Share, outcome: Outcome) -> None:
    """What this machine has left, and what is left to others."""
    own, num_left = outcome.own, outcome.ledger.num_pending - outcome.own.num_pending
    say.say(f"share {share}: {own.num_in - own.num_pending:,} of {own.num_in:,} done")
    if num_left:
        say.say(
            f"{num_left:,} are left to other shares; any machine may take one over with its --share"
        )


def ledger_fields(ledger: Ledger, out: str, outcome: Outcome | None = None) -> dict[str, Any]:
    """The ledger as a script reads it (`--json`)."""
    fields = {
        "step": ledger.step,
        "out": out,
        "in": ledger.num_in,
        "ok": ledger.num_ok,
        "rejected": ledger.num_rejected,
        "failed": ledger.num_failed,
        "pending": ledger.num_pending,
        "problems": list(ledger.problems),
        "exit_code": ledger.exit_code,
    }
    if outcome is not None:
        fields |= {"done": outcome.num_done, "seconds": round(outcome.seconds, 3)}
        fields |= {"left_out": dict(outcome.manifest.left_out)}
    return fields


def finish(outcome: Outcome, out: str, **more: Any) -> int:
    """Print the summary for scripts; returns the exit code."""
    fields = ledger_fields(outcome.ledger, out, outcome)
    say.summary({**fields, **more, "exit_code": outcome.exit_code})
    return outcome.exit_code


def show_reasons(reasons: Sequence[ReasonCount]) -> None:
    """Why items left the flow: one line per verdict and reason, with one item as an example."""
    if not reasons:
        return
    rows = [
        (
            found.verdict,
            found.reason,
            f"{found.num_items:,}",
            _shortened(": ".join(found.examples[0])),
        )
        for found in reasons
    ]
    columns = ("verdict", "reason", "items", "for example")
    say.table("why items left", columns, rows, right=["items"])


def _shortened(text: str) -> str:
    """Escapes come first: else a new line in a name would be taken for the space between words."""
    return textwrap.shorten(say.shown(text), EXAMPLE_CHARACTERS, placeholder="…")


def show_left_out(left_out: Mapping[str, int]) -> None:
    """Clips that get no caption: they are not items of the step, and are named beside it."""
    for reason, num_clips in left_out.items():
        clips = "1 clip gets" if num_clips == 1 else f"{num_clips:,} clips get"
        say.say(f"{clips} no caption, {reason}: {reason_of('caption', reason).text}")
