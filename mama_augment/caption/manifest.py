"""What a captions directory is made from: units, settings, input; checked before anything runs."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from mama_augment.budget.plan_file import both_given, check_temperature
from mama_augment.caption.engines import ENGINES
from mama_augment.caption.input.prompts import check_columns
from mama_augment.caption.requests import CaptionSettings
from mama_augment.caption.source import Counted, count_captions
from mama_augment.core.errors import InputError
from mama_augment.core.manifest import Manifest, versions
from mama_augment.core.schema import HELD_OUT
from mama_augment.core.store.records import NOTHING
from mama_augment.core.store.several import StepDirs


def manifest_of(
    clips: StepDirs,
    settings: CaptionSettings,
    engine_name: str,
    before: Manifest | None,
    *,
    allow_partial: bool = False,
) -> Manifest:
    """The manifest of a run, checked against its input; writes nothing.

    before: of an earlier run, whose units come first.

    Raises:
        InputError: see `Caption.manifest`.
    """
    check_settings(settings)
    pending = clips.pending()
    if pending and not allow_partial:
        raise InputError(
            f"{clips.uri!r} is unfinished: {len(pending)} of {clips.num_units} units "
            "are pending. Finish `mama-augment keyframes`, or pass --allow-partial to caption "
            "what is there"
        )
    records = clips.records()
    if not any(record.num_rows for record in records.values()):
        raise InputError(f"{clips.uri!r} holds no clips to caption")
    if settings.prompt.is_template:
        names = next(clips.units()).schema().names
        check_columns(settings.prompt, [name for name in names if name != "frames"])
    counted = count_captions(clips, settings, is_whole=not pending)
    check_clips_left(clips, settings, counted)
    there = before.units if before is not None else {}
    # Those whose clips are being made again stay as they are.
    units = {unit_id: counted.units.get(unit_id, number) for unit_id, number in there.items()}
    units |= counted.units
    digests = dict(before.digests) if before is not None else {}
    digests |= {unit_id: record.data_digest or NOTHING for unit_id, record in records.items()}
    generations = list(before.generations) if before is not None else []
    if num_new := len(units) - len(there):
        generations.append({"num_units": num_new})
    return Manifest(
        step="caption",
        config=config_of(settings, engine_name),
        input_fingerprint=clips.input_fingerprint(),
        units=units,
        versions=_versions(engine_name),
        digests={unit_id: digests[unit_id] for unit_id in units},
        grows=True,
        generations=generations,
        sources=clips.sources,
        left_out=counted.left_out,
    )


def check_settings(settings: CaptionSettings) -> None:
    """Refuse what contradicts itself.

    Raises:
        InputError: naming the option.
    """
    if settings.num_captions < 1:
        raise InputError(f"--num-captions is {settings.num_captions}; at least 1 is needed")
    if settings.plan is not None:
        if settings.num_captions > 1:
            raise InputError(both_given(settings.plan.uri, settings.num_captions))
        check_temperature(settings.plan, settings.sampling.temperature)
    elif settings.num_captions > 1 and settings.sampling.temperature == 0:
        raise InputError(
            f"--num-captions {settings.num_captions} at --temperature 0 would give "
            f"{settings.num_captions} times the same caption; raise the temperature (0.2 is the "
            "default) or ask for one"
        )
    layout, size = settings.grid, settings.size
    if layout is not None and (size.width_px < layout.columns or size.height_px < layout.rows):
        raise InputError(f"--grid {layout} does not fit into {size.width_px}x{size.height_px} px")


def check_clips_left(clips: StepDirs, settings: CaptionSettings, counted: Counted) -> None:
    """Refuse to caption nothing at all, unless a plan asks for that.

    Raises:
        InputError: all clips are of reserved splits.
    """
    if settings.plan is None and not counted.num_clips:
        if num_flagged := counted.left_out.get("flagged"):
            raise InputError(
                f"{num_flagged:,} of the clips of {clips.uri!r} have one of the flags "
                f"{', '.join(settings.skip_flags)} (--skip-flags), and no other is left to caption"
            )
        raise InputError(
            f"all {counted.left_out['split_reserved']:,} clips of {clips.uri!r} are given "
            f"to {', '.join(HELD_OUT)}, where `balance` takes no generated caption. To evaluate "
            "the captioner on them, pass --every-split"
        )


def config_of(settings: CaptionSettings, engine_name: str) -> dict[str, Any]:
    """Everything that decides what comes out, as the manifest holds it."""
    number = (
        {"num_captions": settings.num_captions}
        if settings.plan is None
        else {"plan": settings.plan.fingerprint}
    )
    return {
        "model": settings.model,
        "engine": engine_name,
        "prompt_name": settings.prompt.name,
        "prompt": settings.prompt.text,
        **number,
        "every_split": settings.every_split,
        **({"skip_flags": sorted(settings.skip_flags)} if settings.skip_flags else {}),
        "input": settings.input,
        "judging": settings.judging.fields(),
        # Named only where it is on: such captions depend on code that came with the model.
        **({"trust_remote_code": True} if settings.trust_remote_code else {}),
        **settings.key_fields(),
    }


def _versions(engine_name: str) -> Mapping[str, str]:
    found = dict(versions())
    for package in ENGINES[engine_name].packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # it is packaged under several names
    return found
