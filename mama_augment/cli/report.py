"""The command `report`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.fields import option
from mama_augment.core.shared import say


@dataclass(frozen=True, kw_only=True)
class ReportCommand:
    """Write one self-contained HTML page about a training set: flow, concepts, samples, ledger."""

    directories: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of keyframes and caption (any number of them) and of balance (one), in any order."""
    out: str = "report.html"
    """The HTML file to write."""

    def __call__(self) -> int:
        from mama_augment.people.report.build import sort_directories, write_report

        inputs, shards = sort_directories(self.directories)
        path = write_report(self.out, inputs, shards)
        say.say(f"report: {path}")
        say.summary({"report": str(path)})
        return 0
