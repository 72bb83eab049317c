"""What a plan.parquet asks of `caption`: how many captions each clip gets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import folder_and_name

NUM_NAMED = 3
"""Clips that a message names; a wrong plan may have millions."""


@dataclass(frozen=True, kw_only=True)
class PlannedCaptions:
    """Captions per clip. A clip that is not in `counts` gets none."""

    uri: str
    counts: Mapping[str, int]
    """By clip_id, all above 0: most clips of a large plan get none, and cost nothing here."""
    fingerprint: str
    """16 hex digits of who gets how many; the order of rows and the reasons do not matter."""

    @property
    def num_captions(self) -> int:
        return sum(self.counts.values())


def read_plan(uri: str) -> PlannedCaptions:
    """Read the plan that `mama-augment plan` wrote, or one made by hand with the same columns.

    Raises:
        InputError: no such file, no Parquet, a column that is missing or of the wrong type, an
            empty value, a negative number, a clip that is named twice.
    """
    table = _read(uri)
    clip_ids, numbers = table["clip_id"], table["num_captions"]
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise InputError(f"{uri!r}, row {row}: {name} is empty; each row needs a value")
    negative = pc.index(pc.less(numbers, 0), True).as_py()
    if negative >= 0:
        raise InputError(
            f"{uri!r}, row {negative}: num_captions of clip {clip_ids[negative].as_py()!r} is "
            f"{numbers[negative].as_py()}; 0 or more is needed"
        )
    counted = pc.value_counts(clip_ids)
    twice = counted.filter(pc.greater(counted.field("counts"), 1)).field("values").to_pylist()
    if twice:
        raise InputError(f"{uri!r} has several rows for {_named(twice)}; one per clip is needed")
    asked = table.filter(pc.greater(numbers, 0)).sort_by("clip_id")
    counts = dict(zip(asked["clip_id"].to_pylist(), asked["num_captions"].to_pylist(), strict=True))
    return PlannedCaptions(uri=uri, counts=counts, fingerprint=_fingerprint(counts))


def both_given(plan_uri: str, num_captions: int) -> str:
    """What is wrong with two answers to one question."""
    return (
        f"--plan {plan_uri} and --num-captions {num_captions} both say how many captions a clip "
        "gets; give one of them"
    )


def check_names(plan: PlannedCaptions, lacking: set[str], clips_uri: str) -> None:
    """Refuse a plan for clips that the clips directory lacks.

    Raises:
        InputError: naming some of them.
    """
    if lacking:
        raise InputError(
            f"the plan {plan.uri!r} asks for captions of {_named(sorted(lacking))}, which "
            f"{clips_uri!r} does not hold. Give the plan that was made from this directory, or "
            f"make one: mama-augment plan {clips_uri}"
        )


def check_temperature(plan: PlannedCaptions, temperature: float) -> None:
    """Refuse the same caption again.

    Raises:
        InputError: several captions of one clip at temperature 0.
    """
    several = next((clip_id for clip_id, number in plan.counts.items() if number > 1), None)
    if temperature == 0 and several is not None:
        number = plan.counts[several]
        raise InputError(
            f"the plan {plan.uri!r} asks for {number} captions of clip {several!r}; --temperature "
            f"0 would give {number} times the same one. Raise the temperature (0.2 is the "
            "default), or plan with --max-per-clip 1"
        )


def _read(uri: str) -> pa.Table:
    """clip_id as string and num_captions as int64, whatever width they were written in."""
    folder, name = folder_and_name(uri)
    if folder.size_bytes(name) is None:
        raise InputError(f"--plan {uri!r}: no such file; `mama-augment plan` writes one")
    with folder.open_input(name) as stream:
        try:
            file = pq.ParquetFile(stream)
            missing = {"clip_id", "num_captions"} - set(file.schema_arrow.names)
            if missing:
                raise InputError(
                    f"--plan {uri!r} has no column {' and no '.join(sorted(missing))}; it has "
                    f"{', '.join(file.schema_arrow.names)}"
                )
            table = file.read(columns=["clip_id", "num_captions"])
            return table.select(["clip_id", "num_captions"]).cast(
                pa.schema([("clip_id", pa.string()), ("num_captions", pa.int64())])
            )
        except pa.ArrowException as error:
            raise InputError(
                f"--plan {uri!r} is not a plan: {error}. A Parquet file with the columns clip_id "
                "(string) and num_captions (whole numbers) is needed, as `mama-augment plan` "
                "writes it"
            ) from error


def _fingerprint(counts: Mapping[str, int]) -> str:
    digest = hashlib.sha256()
    for clip_id, number in counts.items():
        digest.update(f"{len(clip_id)}|{clip_id}|{number}\n".encode())
    return digest.hexdigest()[:16]


def _named(clip_ids: list[str]) -> str:
    names = ", ".join(repr(clip_id) for clip_id in clip_ids[:NUM_NAMED])
    more = len(clip_ids) - NUM_NAMED
    clips = "clip" if len(clip_ids) == 1 else f"{len(clip_ids):,} clips:"
    return f"{clips} {names}" + (f" and {more:,} more" if more > 0 else "")
