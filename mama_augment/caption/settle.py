"""From what a user asked (`AskConfig`) to what the step does: models, prompts and plans found."""

from __future__ import annotations

import dataclasses

from mama_augment.budget.plan_file import PlannedCaptions, both_given, read_plan
from mama_augment.caption import engines
from mama_augment.caption.config import AskConfig
from mama_augment.caption.engines import EngineConfig, ServingConfig, models
from mama_augment.caption.input import prompts
from mama_augment.caption.requests import CaptionSettings
from mama_augment.core.errors import InputError
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.gpus import GpuShare, local_places


def settle_all(
    ask: AskConfig,
    serving: ServingConfig,
    *,
    engine: str = "auto",
    gpu_memory: float | None = None,
    gpus_per_replica: float | None = None,
) -> tuple[CaptionSettings, EngineConfig, GpuShare | None]:
    """What will be asked, the engine that will be, and the GPUs of each replica.

    Raises:
        InputError: an option names something that is not there, or contradicts another.
    """
    name = engines.settle(engine)
    gpus = engines.gpus_of(name, serving.tensor_parallel, gpus_per_replica)
    prompt = prompts.resolve(ask.prompt)
    planned = planned_captions(ask.plan, ask.num_captions)
    model = find_model(ask, name, serving.base_url)
    settings = CaptionSettings(
        model=model.name,
        model_revision=model.revision,
        size_px=model.size_px,
        prompt=prompt,
        grid=ask.grid,
        sampling=ask.sampling,
        num_captions=1 if ask.num_captions is None else ask.num_captions,
        plan=planned,
        every_split=ask.every_split,
        seed=ask.seed,
    )
    given = {f.name: getattr(serving, f.name) for f in dataclasses.fields(ServingConfig)}
    share = engines.memory_share(gpu_memory, gpus)
    config = EngineConfig(name=name, model=model.directory, **{**given, "gpu_memory_share": share})
    return settings, config, gpus


def replicas_on(runtime: RuntimeConfig, gpus: GpuShare | None, num_replicas: int) -> RuntimeConfig:
    """The runtime whose workers are engines with GPUs of their own."""
    if num_replicas < 1:
        raise InputError(f"--replicas is {num_replicas}; at least 1 is needed")
    places = local_places(gpus, num_replicas) if runtime.runtime == "local" else ()
    return dataclasses.replace(runtime, num_workers=num_replicas, gpus=gpus, places=places)


def planned_captions(uri: str | None, num_captions: int | None) -> PlannedCaptions | None:
    """The plan to follow, if any.

    Raises:
        InputError: `--num-captions` is given too, or the file is not a plan.
    """
    if uri is None:
        return None
    if num_captions is not None:
        raise InputError(both_given(uri, num_captions))
    return read_plan(uri)


def find_model(ask: AskConfig, engine_name: str, base_url: str) -> models.Model:
    """The model to use, with the picture size that the user asked for.

    Raises:
        InputError: see `mama_augment.caption.engines.find_model`.
    """
    found = engines.find_model(engine_name, ask.model, base_url)
    side = ask.picture_px
    return found if side is None else dataclasses.replace(found, size_px=(side, side))
