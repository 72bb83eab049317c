"""The command `regions`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.cli.running import RunConfig, finish, run_step
from mama_augment.core.fields import option
from mama_augment.regions.config import RegionsConfig
from mama_augment.runtime import RuntimeConfig

RUNS = "How it runs"


@dataclass(frozen=True, kw_only=True)
class RegionsCommand:
    """Find regions in every clip: boxes and vectors of evenly spread frames, for VGT."""

    clips: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of `keyframes`, one or more. Frames are decoded from the videos that they name."""
    out: str = "regions"
    """Output directory or URI."""
    step: RegionsConfig
    runtime: RuntimeConfig = field(metadata=option(panel=RUNS))
    run: RunConfig = field(metadata=option(panel=RUNS))

    def __call__(self) -> int:
        from mama_augment.regions.step import RegionsStep

        step = RegionsStep(self.clips, self.step)
        return finish(run_step(step, self.out, self.runtime, self.run), self.out)
