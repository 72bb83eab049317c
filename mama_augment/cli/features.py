"""The command `features`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.cli.running import RunConfig, finish, run_step
from mama_augment.core.fields import option
from mama_augment.core.shared import say
from mama_augment.features.config import EncoderConfig
from mama_augment.runtime import RuntimeConfig

RUNS = "How it runs"


@dataclass(frozen=True, kw_only=True)
class FeaturesCommand:
    """Make vectors of key frames and clips, to score texts and find near duplicates with."""

    clips: tuple[str, ...] = field(metadata=option(positional=True))
    """Output directories of `mama-augment keyframes`."""
    out: str
    """Output directory or URI."""
    encoder: EncoderConfig
    workers: int = field(default=1, metadata=option(panel=RUNS))
    """Models side by side."""
    runtime: str = field(default=RuntimeConfig.runtime, metadata=option(panel=RUNS))
    """Where they run: local (this machine) or ray."""
    ray_address: str | None = field(default=None, metadata=option(panel=RUNS))
    """The Ray cluster to join; by default, Ray is started here."""
    run: RunConfig = field(metadata=option(panel=RUNS))

    def __call__(self) -> int:
        from mama_augment.core.store.several import StepDirs
        from mama_augment.features.models import find_encoder
        from mama_augment.features.step import Features

        StepDirs.open(self.clips, step="keyframes")  # before a model is looked for
        encoder = find_encoder(self.encoder)
        say.tell(f"{encoder.name} ({encoder.kind}, {encoder.revision})")
        runtime = RuntimeConfig(
            num_workers=self.workers, runtime=self.runtime, ray_address=self.ray_address
        )
        outcome = run_step(Features(self.clips, encoder), self.out, runtime, self.run)
        return finish(outcome, self.out)
