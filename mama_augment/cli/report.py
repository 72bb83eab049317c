"""The command `report`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.fields import option
from mama_augment.core.shared import say


@dataclass(frozen=True, kw_only=True)
class ReportCommand:
    """Write one self-contained HTML page about a training set: flow, concepts, samples, ledger."""

    directories: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of keyframes, caption (any number of them) and balance, in any order."""
    out: str = "report.html"
    """The HTML file to write."""

    def __call__(self) -> int:
        from mama_augment.people.report.build import build_report, sort_directories

        clips, captions, shards = sort_directories(self.directories)
        path = build_report(self.out, clips, captions, shards)
        say.say(f"report: {path}")
        say.summary({"report": str(path)})
        return 0
