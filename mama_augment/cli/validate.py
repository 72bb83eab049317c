"""The command `validate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.fields import option
from mama_augment.core.shared import say


@dataclass(frozen=True, kw_only=True)
class ValidateCommand:
    """Check shards before training: files, schema, rows, pictures, splits that share nothing."""

    shards: str = field(metadata=option(positional=True))
    """Output of `balance`."""
    clips: tuple[str, ...] = ()
    """Output of `keyframes`, repeated for each of several; with it, splits are compared by video
    too."""
    num_decoded: int = 200
    """Decode the frames of about this many rows."""

    def __call__(self) -> int:
        from mama_augment.people.validate import validate

        result = validate(self.shards, clips=self.clips, num_decoded=self.num_decoded)
        rows = ", ".join(f"{split} {n:,}" for split, n in result.num_rows.items())
        say.say(
            f"rows: {rows}; captions: {result.num_captions:,}; frames decoded: "
            f"{result.num_decoded_frames:,}; splits compared by "
            f"{'video' if self.clips else 'clip'}"
        )
        for problem in result.problems:
            say.tell(problem, "problem")
        if result.num_problems > len(result.problems):
            say.tell(f"… and {result.num_problems - len(result.problems):,} more")
        say.say("valid" if not result.num_problems else f"{result.num_problems:,} problems")
        exit_code = 1 if result.num_problems else 0
        say.summary(
            {
                "shards": self.shards,
                "rows": dict(result.num_rows),
                "captions": result.num_captions,
                "num_problems": result.num_problems,
                "problems": list(result.problems),
                "exit_code": exit_code,
            }
        )
        return exit_code
