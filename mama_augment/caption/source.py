"""Which clips of a clips directory get captions, why the others get none; reads their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mama_augment.budget.plan_file import check_names
from mama_augment.caption.known import Known
from mama_augment.caption.requests import CaptionSettings, ClipRow, clips_of, columns_for
from mama_augment.core.store.committed import CommittedUnit
from mama_augment.core.store.several import StepDirs


def asked_columns(settings: CaptionSettings) -> list[str]:
    """What `CaptionSettings.num_captions_of` needs to know of a clip."""
    return ["clip_id", "split", *(["flags"] if settings.skip_flags else [])]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a run makes of a clips directory."""

    units: Mapping[str, int]
    """Captions of each unit."""
    num_clips: int
    """Clips that get at least one."""
    left_out: Mapping[str, int]
    """Clips that get none, by reason: no items of the step, but told of in its manifest."""


def count_captions(clips: StepDirs, settings: CaptionSettings, *, is_whole: bool) -> Counted:
    """Count from the records of clips directories; nothing is read unless there is a plan, or
    flags to skip.

    is_whole: no unit of them is pending. Clips of a pending unit may stand in the plan, unless it
    names nothing else.

    Raises:
        InputError: the plan asks for clips that the directories lack.
    """
    if settings.plan is not None or settings.skip_flags:
        return _count_rows(clips, settings, is_whole=is_whole)
    units: dict[str, int] = {}
    num_clips = num_held_out = 0
    for unit_id, record in clips.records().items():
        left_out = 0 if settings.every_split else record.num_held_out
        units[unit_id] = (record.num_rows - left_out) * settings.num_captions
        num_clips += record.num_rows - left_out
        num_held_out += record.num_held_out
    is_left_out = num_held_out and not settings.every_split
    return Counted(
        units=units,
        num_clips=num_clips,
        left_out={"split_reserved": num_held_out} if is_left_out else {},
    )


def _count_rows(clips: StepDirs, settings: CaptionSettings, *, is_whole: bool) -> Counted:
    """Which clips of a unit are in the plan, and which are flagged, stands in its rows."""
    lacking = set(settings.plan.counts) if settings.plan is not None else set()
    num_planned = len(lacking)
    units = dict.fromkeys(clips.records(), 0)  # those without rows, too
    left_out: Counter[str] = Counter()
    num_clips = 0
    names = [name for name, _ in clips.named_units()]
    for name, table in zip(names, clips.tables(asked_columns(settings)), strict=True):
        numbers = captions_by_row(table, settings)
        units[name] = sum(numbers)
        num_clips += sum(number > 0 for number in numbers)
        lacking.difference_update(table["clip_id"].to_pylist())
        left_out.update(_reasons(table, settings))
    if settings.plan is not None and (is_whole or len(lacking) == num_planned):
        check_names(settings.plan, lacking, clips.uri)
    return Counted(
        units=units,
        num_clips=num_clips,
        left_out=dict(sorted(left_out.items())),
    )


def captions_of_unit(unit: CommittedUnit, settings: CaptionSettings) -> list[int]:
    """How many captions each row of a unit gets."""
    return captions_by_row(unit.table(asked_columns(settings)), settings)


def read_clips(
    unit: CommittedUnit, numbers: Sequence[int], known: Known, settings: CaptionSettings
) -> Iterator[ClipRow]:
    """The clips of a unit that get captions, in order; `numbers` holds those of each row.

    One row group of pixels is in memory at a time, and those without a wanted row are not read.
    Inside a group nothing is to be saved: Parquet's pages have to be read and unpacked one after
    the other, and pyarrow offers no way past those before a row. A unit of usual clips (about
    150 kB of frames each) up to some 400 of them is one group.
    """
    groups = unit.row_groups(
        columns_for(settings), wanted=lambda first, number: any(numbers[first : first + number])
    )
    for first, table in groups:
        here = numbers[first : first + table.num_rows]
        with_times = settings.input != "grid"
        yield from clips_of(table, unit.record.unit_id, here, known, first, with_times=with_times)


def captions_by_row(table: pa.Table, settings: CaptionSettings) -> list[int]:
    """How many captions each row of a clips table gets."""
    columns = [table[name].to_pylist() for name in asked_columns(settings)]
    return [settings.num_captions_of(*row) for row in zip(*columns, strict=True)]


def _reasons(table: pa.Table, settings: CaptionSettings) -> list[str]:
    """Why rows get no caption, in any order."""
    columns = [table[name].to_pylist() for name in asked_columns(settings)]
    reasons = (settings.why_none(*row) for row in zip(*columns, strict=True))
    return [reason for reason in reasons if reason is not None]
