"""Steps run without their commands, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.step import Balance
from mama_augment.caption import config, forecast
from mama_augment.caption.engines import EngineConfig, make_engine
from mama_augment.caption.engines.supervised import StartEngine
from mama_augment.caption.requests import CaptionSettings
from mama_augment.caption.step import Caption
from mama_augment.core.ledger import Ledger
from mama_augment.core.step import run
from mama_augment.core.store.output import StepOutput
from mama_augment.core.store.step_dir import StepDir
from mama_augment.runtime import RuntimeConfig


@dataclass(frozen=True, kw_only=True)
class CaptionRun(config.CaptionRun):
    """Everything about a run that changes no caption."""

    overwrite: bool = False
    retry_failed: bool = False

    @property
    def captioning(self) -> config.CaptionRun:
        return config.CaptionRun(allow_partial=self.allow_partial, reuse_uri=self.reuse_uri)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A captions directory that is open, and what captions it."""

    step: Caption
    output: StepOutput
    out: StepDir
    runtime: RuntimeConfig
    retry_failed: bool


def open_job(
    clips_uri: str | Sequence[str],
    out_uri: str,
    settings: CaptionSettings,
    engine: EngineConfig,
    runtime: RuntimeConfig,
    how: CaptionRun,
    start_engine: StartEngine = make_engine,
) -> Job:
    from mama_augment.core.step import Silence

    step = Caption(clips_uri, settings, engine, runtime, how.captioning, start_engine=start_engine)
    output = StepOutput(out_uri, overwrite=how.overwrite)
    opened = output.open(step.manifest(output, Silence()))
    # What there was is discarded by now.
    return Job(
        step=step,
        output=StepOutput(out_uri),
        out=opened,
        runtime=runtime,
        retry_failed=how.retry_failed,
    )


def run_caption(job: Job) -> Ledger:
    return run(job.step, job.output, job.runtime, retry_failed=job.retry_failed).ledger


def forecast_of(
    clips_uri: str,
    settings: CaptionSettings,
    engine: EngineConfig,
    *,
    out_uri: str | None = None,
    num_engines: int = 1,
    how: CaptionRun | None = None,
    start_engine: StartEngine = make_engine,
    **options: Any,
) -> forecast.Forecast:
    how = how or CaptionRun()
    runtime = RuntimeConfig(num_workers=num_engines)
    step = Caption(clips_uri, settings, engine, runtime, how.captioning, start_engine=start_engine)
    out = None if out_uri is None else StepOutput(out_uri, overwrite=how.overwrite)
    return forecast.forecast(step, out, retry_failed=how.retry_failed, **options)


def run_balance(
    clips: str | Sequence[str],
    captions: Sequence[str],
    out: str,
    step: BalanceStep,
    runtime: RuntimeConfig,
    *,
    overwrite: bool = False,
) -> StepDir:
    run(Balance(clips, captions, step), StepOutput(out, overwrite=overwrite), runtime)
    return StepDir.open(out)
