"""The command `inspect`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from mama_augment.cli.keyframes import show_flags
from mama_augment.cli.running import show_reasons
from mama_augment.core.errors import check_positive
from mama_augment.core.fields import option
from mama_augment.core.shared import say


@dataclass(frozen=True, kw_only=True)
class InspectCommand:
    """Look at key frames: a contact sheet (PNG), a table of clips, and why others have no row."""

    directory: str = field(metadata=option(positional=True))
    """The output directory of `keyframes`."""
    num_clips: int = 12
    """How many clips to show, evenly spread."""
    captions: tuple[str, ...] = ()
    """Outputs of `caption`, repeated for each of several: their texts stand beside the frames."""
    sheet: str | None = None
    """The contact sheet to write (PNG); by default contact_sheet.png in the directory."""

    def __call__(self) -> int:
        from mama_augment.core.store.files import output_file
        from mama_augment.core.store.rejects import count_reasons
        from mama_augment.core.store.step_dir import StepDir
        from mama_augment.people.report.captions import captions_of
        from mama_augment.people.report.clip_rows import show_clip_rows
        from mama_augment.people.report.contact_sheet import pick_rows, sheet_png

        check_positive("--num-clips", self.num_clips)
        step_dir = StepDir.open(self.directory, step="keyframes")
        rows = pick_rows(step_dir, self.num_clips)
        said = captions_of(self.captions, [row["clip_id"] for row in rows])
        rows = [{**row, "captions": said[row["clip_id"]]} for row in rows]
        sheet = None
        if rows:
            sheet = self.sheet or f"{self.directory.rstrip('/')}/contact_sheet.png"
            folder, name = output_file(sheet, "--sheet")
            folder.write_bytes(name, sheet_png(rows))
            show_clip_rows(rows)
            say.say(f"contact sheet: {sheet}")
        else:
            say.say("no clip has a row yet")
        flags = show_flags(step_dir, sys.maxsize)
        show_reasons(count_reasons(step_dir))
        say.summary(
            {
                "directory": self.directory,
                "contact_sheet": sheet,
                "clips": len(rows),
                "flags": flags,
            }
        )
        return 0
