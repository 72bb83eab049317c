"""An input that has grown: which clips are in which unit, on every run alike.

The clips of a directory stand in generations: those of its first run, then those that each later
run found added. What identifies them is kept beside the manifest (`input/`), so that their units
stay what they are. Texts, splits and further columns are always those of the present input: a unit
whose rows say something else by now is written again, with the pictures that it has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.store.committed import fragment, read
from mama_augment.core.store.layout import INPUT_FOLDER, parquet_bytes
from mama_augment.core.store.same import WAY_OUT
from mama_augment.core.store.step_dir import StepDir
from mama_augment.inputs.digests import unit_digests
from mama_augment.inputs.table.columns import gather

LEAST_UNITS = 8
"""Few clips are spread over more units than `clips_per_unit` asks for: they may be long."""
SPAN_COLUMNS = ("video_uri", "start_seconds", "end_seconds")
KEPT_COLUMNS = ("clip_id", *SPAN_COLUMNS)
NUM_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """A clip list in units."""

    clips: pa.Table
    """In the order of the units."""
    units: Mapping[str, int]
    digests: Mapping[str, str]
    generations: Sequence[Mapping[str, Any]]
    files: Mapping[str, bytes]
    """What is kept of each generation, by name."""


def arrange(clips: pa.Table, clips_per_unit: int, there: StepDir | None) -> Arranged:
    """Put a clip list into units: those that are there first, then a generation of what is new.

    Raises:
        InputError: clips that are there are missing, or have another video or span.
    """
    generations = _generations(clips, there)
    sizes: list[list[int]] = []
    before = list(there.manifest.units.values()) if there is not None else []
    for number, part in enumerate(generations):
        if there is not None and number < len(there.manifest.generations):
            num_units = there.manifest.generations[number]["num_units"]
            sizes.append(before[:num_units])
            before = before[num_units:]
        else:
            sizes.append(unit_sizes(part.num_rows, clips_per_unit))
    table = pa.concat_tables(generations) if len(generations) > 1 else generations[0]
    flat = [size for some in sizes for size in some]
    unit_ids = [f"{number:06d}" for number in range(len(flat))]
    contents = [_kept(part) for part in generations]
    names = [
        f"{INPUT_FOLDER}/clips-{number:03d}-{hashlib.sha256(content).hexdigest()[:12]}.parquet"
        for number, content in enumerate(contents)
    ]
    return Arranged(
        clips=table,
        units=dict(zip(unit_ids, flat, strict=True)),
        digests=dict(zip(unit_ids, unit_digests(stated(table), flat), strict=True)),
        generations=[
            {"num_units": len(some), "num_clips": sum(some), "clips": name}
            for some, name in zip(sizes, names, strict=True)
        ],
        files=dict(zip(names, contents, strict=True)),
    )


def stated(clips: pa.Table) -> pa.Table:
    """The same clips, with the URIs of their videos as they may be kept: without secrets."""
    if "video_uri" not in clips.column_names:
        return clips
    uris = clips["video_uri"]
    if not pc.any(pc.match_substring_regex(uris, "://.*[@?#;]")).as_py():
        return clips
    known: dict[str, str] = {}
    kept = [known.setdefault(uri, shown(uri)) for uri in uris.to_pylist()]
    place = clips.schema.get_field_index("video_uri")
    return clips.set_column(place, clips.schema.field(place), pa.array(kept, pa.string()))


def unit_sizes(num_clips: int, clips_per_unit: int) -> list[int]:
    """Clips of each unit."""
    size = max(1, min(clips_per_unit, math.ceil(num_clips / LEAST_UNITS)))
    return [min(size, num_clips - start) for start in range(0, num_clips, size)]


def first_rows(units: Mapping[str, int]) -> dict[str, int]:
    """Where each unit begins in `Arranged.clips`."""
    return dict(zip(units, accumulate(units.values(), initial=0), strict=False))


def _kept(part: pa.Table) -> bytes:
    kept = stated(part.select(KEPT_COLUMNS).replace_schema_metadata(None))
    return parquet_bytes(kept).to_pybytes()


def _generations(clips: pa.Table, there: StepDir | None) -> list[pa.Table]:
    """The present clips: those of each generation that is there, then the new ones.

    Where nothing has grown, which is usual, no column is copied; else one at a time.
    """
    if there is None:
        return [clips]
    files = [fragment(there.folder, part["clips"]) for part in there.manifest.generations]
    ids = [read(file, ["clip_id"])["clip_id"] for file in files]
    if len(files) == 1 and ids[0].equals(clips["clip_id"]):
        _refuse_changed(files[0], clips, there.folder.uri)
        return [clips]
    present = clips["clip_id"].combine_chunks()
    found = []
    for file, known in zip(files, ids, strict=True):
        place = pc.index_in(known, value_set=present)
        if place.null_count:
            _refuse_missing(file, pc.is_null(place), there.folder.uri)
        part = _take(clips, place.to_numpy().astype(np.int64))
        _refuse_changed(file, part, there.folder.uri)
        found.append(part)
    all_ids = pa.chunked_array([chunk for known in ids for chunk in known.chunks], pa.string())
    is_known = pc.is_in(present, value_set=all_ids.combine_chunks())
    new = np.flatnonzero(~is_known.to_numpy(zero_copy_only=False))
    return [*found, _take(clips, new)] if len(new) else found


def _take(clips: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    return pa.table([gather(column, rows) for column in clips.columns], schema=clips.schema)


def _refuse_missing(file: pads.ParquetFileFragment, is_missing: pa.ChunkedArray, uri: str) -> None:
    missing = read(file, KEPT_COLUMNS).filter(is_missing)
    raise InputError(
        f"{uri!r} holds {_number(missing)} that the input lacks by now: "
        f"{_named(missing, _span)}. Give them back to the input, or start anew. {WAY_OUT}"
    )


def _refuse_changed(file: pads.ParquetFileFragment, part: pa.Table, uri: str) -> None:
    is_same = None
    for name in SPAN_COLUMNS:
        one, other = read(file, [name])[name], stated(part.select([name]))[name]
        if one.equals(other):
            continue
        same = pc.fill_null(pc.equal(one, other), False)
        same = pc.or_(same, pc.and_(pc.is_null(one), pc.is_null(other)))
        is_same = same if is_same is None else pc.and_(is_same, same)
    if is_same is None or pc.all(is_same).as_py():
        return
    changed = pc.invert(is_same)
    before = read(file, KEPT_COLUMNS).filter(changed)
    now = {row["clip_id"]: row for row in part.select(KEPT_COLUMNS).filter(changed).to_pylist()}

    def change(row: Mapping[str, Any]) -> str:
        return f"was {_span(row)}, is {_span(now[row['clip_id']])}"

    raise InputError(
        f"{uri!r} holds {_number(before)} whose video or span is another in the input by now: "
        f"{_named(before, change)}. Give changed clips a new clip_id, or start anew. {WAY_OUT}"
    )


def _number(clips: pa.Table) -> str:
    return "1 clip" if clips.num_rows == 1 else f"{clips.num_rows:,} clips"


def _named(clips: pa.Table, describe: Callable[[Mapping[str, Any]], str]) -> str:
    """The first few, and that there are more."""
    rows = clips.slice(0, NUM_NAMED).to_pylist()
    names = "; ".join(f"{row['clip_id']} ({describe(row)})" for row in rows)
    return names if clips.num_rows <= NUM_NAMED else f"{names}; …"


def _span(row: Mapping[str, Any]) -> str:
    start, end = row["start_seconds"], row["end_seconds"]
    if start is None and end is None:
        return str(row["video_uri"])
    return f"[{start or 0.0:g}, {'end' if end is None else f'{end:g}'}) of {row['video_uri']}"
