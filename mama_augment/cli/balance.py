"""The command `balance`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mama_augment.balance.config import BalanceStep
from mama_augment.cli.running import RunConfig, finish, run_step
from mama_augment.cli.spread import SPREAD_COLUMNS, spread_cells
from mama_augment.core.fields import option
from mama_augment.core.schema import SPLITS, VERDICTS
from mama_augment.core.shared import say
from mama_augment.core.shares import Share
from mama_augment.runtime import RuntimeConfig

FORECAST_SHOWN = 10
COUNTED = ("num_rows", "num_captions")


@dataclass(frozen=True, kw_only=True)
class BalanceCommand:
    """Write concept-balanced training shards with train, meta, val and test splits."""

    directories: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of `keyframes` (one or more) and of `caption`, in any order; without captions, only
    the texts that came with the videos are used."""
    out: str = "shards"
    """Directory for the shards."""
    step: BalanceStep
    workers: int = RuntimeConfig.num_workers
    """Shards that are written side by side."""
    overwrite: bool = False
    """Discard what is in the output directory."""
    share: Share | None = field(
        default=None, metadata=option(parse=Share.parse, default_shown="all")
    )
    """The part of the shards that this machine writes, such as 2/8. Each decides about all texts,
    and reads all key frames."""

    dry_run: bool = False
    """Print what would be kept and gained, as a curve over shares, and write nothing."""

    def __call__(self) -> int:
        if self.dry_run:
            return self._show_curve()
        from mama_augment.balance.stats import STATS_NAME
        from mama_augment.balance.step import Balance
        from mama_augment.core.store.files import Folder

        step = Balance.of(self.directories, self.step)
        runtime = RuntimeConfig(num_workers=self.workers)
        outcome = run_step(
            step, self.out, runtime, RunConfig(overwrite=self.overwrite, share=self.share)
        )
        stats = json.loads(Folder(self.out).read_bytes(STATS_NAME))
        show_stats(stats)
        names = (
            "splits",
            "rejects",
            "changes",
            "reviews",
            "scores",
            "forecast",
            "keep",
            "warnings",
        )
        more = {name: stats[name] for name in names if name in stats}
        code = finish(outcome, self.out, **more)
        is_empty = outcome.ledger.num_in > 0 and not stats["splits"]["train"]["num_rows"]
        # Splits of which none is train are an evaluation set, or a mistake; the warnings say which.
        return code or int(is_empty)

    def _show_curve(self) -> int:
        from mama_augment.balance.preview import preview

        with say.terminal() as tell:
            found = preview(self.directories, self.step, self.out, tell.phase)
        rows = [
            (
                f"{point.share:.0%}",
                f"{point.effective_number:,.1f}",
                f"{point.tail_share:.2%}",
                f"{point.union_effective_number:,.1f}",
            )
            for point in found.curve
        ]
        columns = ("kept", "effective number", "rarest fifth of visits", "union rule")
        say.table(f"of {found.num_concepts:,} concepts", columns, rows, right="*")
        how = ", where the curve bends" if found.rule.is_chosen and found.rule.share < 1 else ""
        say.say(
            f"{found.rule.share:.1%} of {found.num_texts:,} training texts would be kept{how}; "
            f"{found.num_unmatched:,} texts have no concept"
        )
        for warning in found.warnings:
            say.tell(warning, "warning")
        kept = found.rule.to_json(self.step.balance)
        say.summary({"texts": found.num_texts, "unmatched": found.num_unmatched, "keep": kept})
        return 0


def show_stats(stats: Mapping[str, Any]) -> None:
    """Splits, the spread of concepts before and after, and what needs a person's attention."""
    splits = stats["splits"]
    say.say(
        ", ".join(
            f"{split} {splits[split]['num_rows']:,} clips ({splits[split]['share']:.1%}; "
            f"{splits[split]['num_captions']:,} captions{_asked(splits[split])})"
            for split in SPLITS
        )
    )
    labels = {"given": "texts given", "before": "with generated", "after": "balanced"}
    visits = stats["train_visits"]
    rows = [
        (label, *spread_cells(visits[name], visits[name]["num_visits"]))
        for name, label in labels.items()
    ]
    columns = ("", *SPREAD_COLUMNS)
    say.table("concepts among training visits", columns, rows, right=SPREAD_COLUMNS)
    show_kept(stats["keep"])
    if "forecast" in stats:
        show_forecast(stats["forecast"])
    if "reviews" in stats:
        show_reviews(stats["reviews"])
    if "scores" in stats:
        say.say(
            "scores: {num_scored:,} texts have one, {num_without:,} have none".format_map(
                stats["scores"]
            )
        )
    if "changes" in stats:
        show_changes(stats["changes"])
    if stats["rejects"]:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in stats["rejects"].items())
        say.say(f"not kept: {reasons}")
    for warning in stats["warnings"]:
        say.tell(warning, "warning")


def _asked(split: Mapping[str, Any]) -> str:
    return f", {split['num_questions']:,} questions" if "num_questions" in split else ""


def show_forecast(forecast: Mapping[str, Any]) -> None:
    """Visits that the plan expected of new captions, and those that they brought to train."""
    rows = [
        (c["name"], f"{c['expected']:,}", f"{c['brought']:,}")
        for c in forecast["concepts"][:FORECAST_SHOWN]
    ]
    columns = ("concept", "expected", "brought")
    say.table("visits of planned captions", columns, rows, right=columns[1:])
    say.say(
        f"the plan expected {forecast['num_expected']:,} visits of new captions; they brought "
        f"{forecast['num_brought']:,} to train, {forecast['share_met']:.1%} of what was expected "
        "where it was expected"
    )


def show_kept(keep: Mapping[str, Any]) -> None:
    """The share of texts with a concept that the rule keeps, and who chose it."""
    if not keep:
        return
    chosen = " (where the curve bends; --dry-run shows it)" if keep["is_chosen"] else ""
    if keep["as"] == "weights":
        say.say(
            f"every text is kept; visits are {keep['share']:.1%} of them{chosen}: train with "
            "`mama-train run --visit weighted`"
        )
    else:
        say.say(f"kept by the rule: {keep['share']:.1%} of training texts with a concept{chosen}")


def show_reviews(reviews: Mapping[str, Any]) -> None:
    """What became of the texts that a person has judged."""
    verdicts = ", ".join(f"{reviews[verdict]:,} {verdict}" for verdict in VERDICTS)
    splits = ", ".join(f"{split} {number:,}" for split, number in reviews["splits"].items())
    say.say(f"reviewed texts: {verdicts}; clips in the split of their review: {splits or 'none'}")


def show_changes(changes: Mapping[str, Any]) -> None:
    """What these shards have of those that their splits are from."""
    clips = ", ".join(f"{n:,} {what}" for what, n in changes["train_clips"].items())
    say.say(f"against --splits-from: train clips {clips}")
    rows = []
    for split, counts in changes["splits"].items():
        numbers = (counts[name][when] for name in COUNTED for when in ("before", "now"))
        rows.append((split, *(f"{number:,}" for number in numbers)))
    columns = ("rows before", "rows now", "captions before", "captions now")
    say.table("splits before and now", ("", *columns), rows, right=columns)
