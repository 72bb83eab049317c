"""The command `caption`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mama_augment.caption.config import AskConfig, CaptionRun, Replicas
from mama_augment.caption.engines import ServingConfig
from mama_augment.cli.running import RunConfig, finish, run_step
from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.shared import say
from mama_augment.runtime import RuntimeConfig

if TYPE_CHECKING:
    from mama_augment.caption.step import Caption

ENGINE, RUNS, DRY = "What runs the model", "How it runs", "Dry run"


@dataclass(frozen=True, kw_only=True)
class DryRunConfig:
    """What to find out without captioning."""

    dry_run: bool = False
    """Count requests and tokens, and write nothing."""
    tokens_per_second: float | None = None
    """With --dry-run: the engine's output tokens per second, to forecast the time."""
    sample: bool = False
    """With --dry-run: caption 1 % of the clips to measure tokens and time."""

    def check(self) -> None:
        """Refuse options of `--dry-run` without it: whoever gives them expects no captions.

        Raises:
            InputError: naming the option.
        """
        from mama_augment.caption.forecast import check_speed

        check_speed(self.tokens_per_second)
        has_speed = self.tokens_per_second is not None
        given = ["--sample"] * self.sample + ["--tokens-per-second"] * has_speed
        if given and not self.dry_run:
            raise InputError(
                f"{' and '.join(given)}: only with --dry-run, which captions nothing; add it, "
                "or leave them out to caption all clips"
            )


@dataclass(frozen=True, kw_only=True)
class CaptionCommand:
    """Caption every clip that may train: a grid of its key frames in, one or more texts out."""

    clips: tuple[str, ...] = field(metadata=option(positional=True))
    """Output directories of `mama-augment keyframes`."""
    out: str
    """Output directory or URI."""
    ask: AskConfig
    engine: str = field(default="auto", metadata=option(panel=ENGINE))
    """vllm, transformers or openai (any server of that protocol); auto is vllm where it is
    installed, else transformers."""
    serving: ServingConfig = field(metadata=option(panel=ENGINE))
    gpu_memory_share: float | None = field(default=None, metadata=option(panel=ENGINE))
    """vllm: the share of a GPU's memory that one replica may fill. By default 0.9; for replicas
    that share a GPU, 0.9 of their part of it."""
    replicas: Replicas | None = field(
        default=None,
        metadata=option(
            "--replicas", "--workers", parse=Replicas.parse, default_shown="1", panel=ENGINE
        ),
    )
    """Engines side by side; each holds the model. 1:8 is as many as there is room for, at least 1
    and at most 8; on Ray, others are added while the cluster has room."""
    gpus_per_replica: float | None = field(default=None, metadata=option(panel=ENGINE))
    """GPUs that each replica sees; below 1, replicas share one. By default as many as
    --tensor-parallel says, where there are any."""
    runtime: str = field(default=RuntimeConfig.runtime, metadata=option(panel=RUNS))
    """Where engines run: local (this machine) or ray."""
    ray_address: str | None = field(default=None, metadata=option(panel=RUNS))
    """The Ray cluster to join; by default that of RAY_ADDRESS, or one of yours that runs on this
    machine, else Ray is started here."""
    env: tuple[str, ...] = field(default=(), metadata=option(panel=RUNS))
    """ray: further environment variables of this command that replicas need. HF_*, AWS_*, VLLM_*
    and OPENAI_API_KEY are handed on anyway. May be repeated."""
    captioning: CaptionRun = field(metadata=option(panel=RUNS))
    run: RunConfig = field(metadata=option(panel=RUNS))
    dry: DryRunConfig = field(metadata=option(panel=DRY))

    def __call__(self) -> int:
        from mama_augment.caption.settle import replicas_on, settle_all
        from mama_augment.caption.step import Caption
        from mama_augment.core.store.several import StepDirs

        self.dry.check()
        StepDirs.open(self.clips, step="keyframes")  # before a model is looked for
        settings, engine, gpus = settle_all(
            self.ask,
            self.serving,
            engine=self.engine,
            gpu_memory=self.gpu_memory_share,
            gpus_per_replica=self.gpus_per_replica,
        )
        runtime = RuntimeConfig(runtime=self.runtime, ray_address=self.ray_address, env=self.env)
        runtime = replicas_on(runtime, gpus, self.replicas or Replicas(least=1, most=1))
        step = Caption(self.clips, settings, engine, runtime, self.captioning)
        if self.dry.dry_run:
            return self._forecast(step)
        return finish(run_step(step, self.out, runtime, self.run), self.out)

    def _forecast(self, step: Caption) -> int:
        from mama_augment.caption.forecast import forecast
        from mama_augment.cli.forecast import show_forecast
        from mama_augment.core.store.output import StepOutput

        found = forecast(
            step,
            StepOutput(self.out, overwrite=self.run.overwrite),
            retry_failed=self.run.retry_failed,
            tokens_per_second=self.dry.tokens_per_second,
            with_sample=self.dry.sample,
        )
        show_forecast(found, step.runtime.gpus)
        say.summary(dataclasses.asdict(found))
        return 0
