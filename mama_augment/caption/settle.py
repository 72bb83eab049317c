"""From what a user asked (`AskConfig`) to what the step does: models, prompts and plans found."""

from __future__ import annotations

import dataclasses

from mama_augment.budget.plan_file import PlannedCaptions, both_given, read_plan
from mama_augment.caption import engines, models
from mama_augment.caption.config import AskConfig, Replicas
from mama_augment.caption.engines import EngineConfig, ServingConfig
from mama_augment.caption.engines.arguments import written
from mama_augment.caption.input import prompts
from mama_augment.caption.input.layout import AUTO, PictureSize
from mama_augment.caption.judge.language import settle_language
from mama_augment.caption.requests import CaptionSettings
from mama_augment.core.errors import InputError
from mama_augment.core.shared import say
from mama_augment.runtime import RuntimeConfig
from mama_augment.runtime.gpus import GpuShare, local_places, visible_devices

CPUS_OF_ENGINE, CPUS_OF_CLIENT = 4, 2
"""Processors that a replica keeps busy: two threads prepare pictures, one renders, one steps the
engine; a server does the latter two elsewhere."""


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
    # Files are read once, here: workers elsewhere may not have them, nor later runs.
    chat = dataclasses.replace(ask.chat, chat_template_kwargs=written(ask.chat.template_kwargs))
    sampling = dataclasses.replace(ask.sampling, sampling_args=written(ask.sampling.more))
    given = {f.name: getattr(serving, f.name) for f in dataclasses.fields(ServingConfig)}
    model = find_model(ask, name, serving.base_url)
    shown = input_for(ask, model)
    config = EngineConfig(
        name=name,
        model=model.directory,
        input=shown,
        chat=chat,
        trust_remote_code=ask.trust_remote_code,
        **{**given, "gpu_memory_share": engines.memory_share(gpu_memory, gpus)},
    )
    config = dataclasses.replace(config, engine_args=written(config.more))
    settings = CaptionSettings(
        model=model.name,
        model_revision=model.revision,
        size=model.size,
        prompt=prompt,
        input=shown,
        grid=ask.grid if ask.grid is not None else model.grid,
        chat=chat,
        sampling=sampling,
        judging=dataclasses.replace(
            ask.judging, language=settle_language(ask.judging.language, prompt.text)
        ),
        engine_args=engines.telling_args(config),
        trust_remote_code=ask.trust_remote_code,
        num_captions=1 if ask.num_captions is None else ask.num_captions,
        plan=planned,
        every_split=ask.every_split,
        skip_flags=ask.skip_flags or (),
        seed=ask.seed,
    )
    _say_what_was_assumed(ask, model)
    return settings, config, gpus


def input_for(ask: AskConfig, model: models.Model) -> str:
    """How the model is shown clips: as asked, else as suits it.

    Raises:
        InputError: the model has no such input, or an option belongs to another one.
    """
    about_grid = ask.grid is not None or ask.picture_px is not None
    chosen = ask.input
    if chosen == AUTO:
        chosen = "grid" if about_grid else model.default_input
    if chosen not in model.inputs:
        raise InputError(
            f"--input is {chosen!r}, but {model.name} takes {', '.join(model.inputs)}; give one of "
            "these, or leave it out"
        )
    for flag, value in (("--grid", ask.grid), ("--picture-px", ask.picture_px)):
        if chosen != "grid" and value is not None:
            raise InputError(
                f"{flag} is about a grid, but {model.name} is shown {chosen}; add --input grid, or "
                f"leave {flag} out"
            )
    return chosen


def _say_what_was_assumed(ask: AskConfig, model: models.Model) -> None:
    if model.guessed and ask.picture_px is None:
        say.tell(model.guessed, "note")
    if ask.trust_remote_code:
        say.tell(
            f"--trust-remote-code: Python from the repository of {model.name} (revision "
            f"{model.revision}) runs on this machine; the manifest says so",
            "warning",
        )


def replicas_on(runtime: RuntimeConfig, gpus: GpuShare | None, replicas: Replicas) -> RuntimeConfig:
    """The runtime whose workers are engines with GPUs of their own.

    On this machine a range settles here: as many as its GPUs have room for, the most for a server,
    the least where engines share the processors. On Ray the pool grows while there is room.
    """
    cpus = CPUS_OF_CLIENT if gpus is None else CPUS_OF_ENGINE
    if runtime.runtime != "local":
        least = replicas.least if replicas.least < replicas.most else None
        return dataclasses.replace(
            runtime,
            num_workers=replicas.most,
            least_workers=least,
            gpus=gpus,
            cpus_per_worker=cpus,
        )
    number = replicas.most
    if replicas.least < replicas.most and gpus is not None:
        room = gpus.num_workers_on(len(visible_devices()))
        number = max(replicas.least, min(replicas.most, room))
    return dataclasses.replace(
        runtime, num_workers=number, gpus=gpus, places=local_places(gpus, number)
    )


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
    found = engines.find_model(
        engine_name,
        ask.model,
        base_url,
        revision=ask.revision,
        with_code=ask.trust_remote_code,
    )
    if (side := ask.picture_px) is None:
        return found
    size = PictureSize(width_px=side, height_px=side, step_px=found.size.step_px)
    return dataclasses.replace(found, size=size)
