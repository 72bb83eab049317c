"""The command `export`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.fields import option
from mama_augment.core.shared import say
from mama_augment.people.export.config import ExportConfig, PushConfig

REASONS = {
    "other_status": "of another --status",
    "no_clip": "whose clip is not in the clips directory",
}


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """Take captions or shards away in a format that others read."""

    directory: str = field(metadata=option(positional=True))
    """Output of `caption` or of `balance`."""
    out: str
    """The file to write (jsonl, csv, parquet), or the folder (webdataset, hf, sharegpt)."""
    export: ExportConfig
    hub: PushConfig = field(metadata=option(panel="The hub"))
    overwrite: bool = False
    """Replace the file, or what an earlier export wrote to the folder."""

    def __call__(self) -> int:
        from mama_augment.core.store.step_dir import StepDir
        from mama_augment.people.export.run import export, push

        self.hub.check(self.export.format)
        step_dir = StepDir.open(self.directory)
        total = sum(record.num_rows for record in step_dir.records().values())
        is_captions = step_dir.step == "caption"
        with say.terminal() as tell:
            tell.phase("reading clips")
            with tell.progress("export", total if is_captions else 0) as advance:
                exported = export(
                    self.directory,
                    self.out,
                    self.export,
                    overwrite=self.overwrite,
                    on_texts=advance,
                )
        say.say(f"{exported.num_written:,} texts of {exported.num_clips:,} clips: {self.out}")
        for reason, number in exported.left_out.items():
            say.tell(f"{number:,} texts are left out, {REASONS.get(reason, reason)}", "left out")
        for problem in exported.problems:
            say.tell(problem, "problem")
        if pending := len(step_dir.units_to_do()):
            say.tell(
                f"{self.directory!r} is unfinished: {pending} units are pending, and their texts "
                "are not exported",
                "warning",
            )
        address = None
        if self.hub.push is not None:
            address = push(self.out, self.hub.push, public=self.hub.public)
            say.say(f"pushed: {address}")
        say.summary(
            {
                "out": self.out,
                "format": self.export.format,
                "in": exported.num_in,
                "texts": exported.num_written,
                "clips": exported.num_clips,
                "left_out": exported.left_out,
                "problems": list(exported.problems),
                "pushed": address,
                "exit_code": exported.exit_code,
            }
        )
        return exported.exit_code
