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
from mama_augment.core.schema import SPLITS
from mama_augment.core.shared import say
from mama_augment.core.shares import Share
from mama_augment.runtime import RuntimeConfig

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

    def __call__(self) -> int:
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
        names = ("splits", "rejects", "changes", "warnings")
        more = {name: stats[name] for name in names if name in stats}
        return finish(outcome, self.out, **more)


def show_stats(stats: Mapping[str, Any]) -> None:
    """Splits, the spread of concepts before and after, and what needs a person's attention."""
    splits = stats["splits"]
    say.say(
        ", ".join(
            f"{split} {splits[split]['num_rows']:,} clips ({splits[split]['share']:.1%}; "
            f"{splits[split]['num_captions']:,} captions)"
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
    if "changes" in stats:
        show_changes(stats["changes"])
    if stats["rejects"]:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in stats["rejects"].items())
        say.say(f"not kept: {reasons}")
    for warning in stats["warnings"]:
        say.tell(warning, "warning")


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
