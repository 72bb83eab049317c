"""The command `score`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.cli.running import RunConfig, finish, run_step
from mama_augment.core.fields import option
from mama_augment.features.config import EncoderConfig
from mama_augment.runtime import RuntimeConfig

RUNS = "How it runs"


@dataclass(frozen=True, kw_only=True)
class ScoreCommand:
    """Score how well each text agrees with its clip; `balance --scores` uses it."""

    directories: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of `keyframes` (one or more) and of `caption`, in any order; without captions, the
    texts that came with the videos are scored."""
    features: str
    """The output of `features`, made of these clips by the same model."""
    out: str
    """Output directory or URI."""
    encoder: EncoderConfig
    workers: int = field(default=1, metadata=option(panel=RUNS))
    """Models side by side."""
    run: RunConfig = field(metadata=option(panel=RUNS))

    def __call__(self) -> int:
        from mama_augment.balance.source.inputs import Inputs
        from mama_augment.features.models import find_encoder
        from mama_augment.features.score import Score

        inputs = Inputs.sort(self.directories)
        clips = [step_dir.folder.uri for step_dir in inputs.clips.dirs]
        captions = [step_dir.folder.uri for step_dir in inputs.captions]
        step = Score(clips, captions, self.features, find_encoder(self.encoder))
        runtime = RuntimeConfig(num_workers=self.workers)
        return finish(run_step(step, self.out, runtime, self.run), self.out)
