"""What `inputs.clip_list` does, once more and row by row: the reference of its property test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS
from mama_augment.inputs.clip_list import CLIP_LIST, Locate, clip_id_of
from mama_augment.inputs.table.manifest import Rows

Row = dict[str, Any]


def list_clips(rows: Rows, where: str, locate: Locate) -> pa.Table:
    known = pa.table(rows.known).to_pylist()
    groups: dict[tuple[Any, ...], list[int]] = {}
    for position, row in enumerate(known):
        _check_row(row, f"{where}, row {position + 1}")
        uri = locate(row["video"])[0]
        key = (uri, row.get("start_seconds"), row.get("end_seconds"))
        groups.setdefault(key, []).append(position)
    clips = [_merge(known, positions, where, locate) for positions in groups.values()]
    _check_ids(clips, where)
    content = [{name: clip[name] for name in CLIP_LIST.names} for clip in clips]
    table = pa.Table.from_pylist(content, CLIP_LIST)
    for name, column in rows.extra.items():
        table = table.append_column(name, _carry(column.combine_chunks(), [*groups.values()]))
    return table.take(pa.array(sorted(range(len(clips)), key=lambda c: _place(clips[c]))))


def _check_row(row: Row, where: str) -> None:
    if not row["video"]:
        raise InputError(f"{where}: video is empty; a path or URI is needed")
    start, end = row.get("start_seconds"), row.get("end_seconds")
    for name, value in (("start_seconds", start), ("end_seconds", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{where}: {name} is {value}; 0 or more is needed")
    if end is not None and end <= (start or 0.0):
        raise InputError(
            f"{where}: the span [{start or 0.0}, {end}) is empty; end_seconds must be "
            "larger than start_seconds"
        )
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise InputError(f"{where}: split is {split!r}; allowed: {', '.join(SPLITS)}")


def _merge(known: Sequence[Row], positions: Sequence[int], where: str, locate: Locate) -> Row:
    first = known[positions[0]]
    start, end = first.get("start_seconds"), first.get("end_seconds")
    uri, relative_path = locate(first["video"])
    texts = [
        {
            "text": text,
            "source": known[p].get("source") or "human",
            "trusted": bool(known[p].get("trusted")),
        }
        for p in positions
        for text in _given(known[p].get("text"))
        if text
    ]
    return {
        "clip_id": _agreed(known, positions, "clip_id", where)
        or clip_id_of(relative_path, start, end),
        "video_uri": uri,
        "start_seconds": start,
        "end_seconds": end,
        "texts": texts,
        "split": _agreed(known, positions, "split", where),
        "rows": positions,
    }


def _given(text: str | list[str | None] | None) -> list[str | None]:
    return text or [] if isinstance(text, list | None) else [text]


def _agreed(known: Sequence[Row], positions: Sequence[int], name: str, where: str) -> str | None:
    given = {known[p][name]: p + 1 for p in reversed(positions) if known[p].get(name)}
    if len(given) > 1:
        (one, row), (other, other_row) = sorted(given.items(), key=lambda item: item[1])[:2]
        raise InputError(
            f"{where}: rows {row} and {other_row} are the same span of "
            f"{known[positions[0]]['video']!r}, but their {name} is {one!r} and {other!r}"
        )
    return next(iter(given), None)


def _check_ids(clips: Sequence[Row], where: str) -> None:
    seen: dict[str, Row] = {}
    for clip in clips:
        other = seen.setdefault(clip["clip_id"], clip)
        if other is not clip:
            raise InputError(
                f"{where}: clip_id {clip['clip_id']!r} names two different spans: row "
                f"{other['rows'][0] + 1} ({_span(other)}) and row {clip['rows'][0] + 1} "
                f"({_span(clip)}). Give each span its own clip_id"
            )


def _span(clip: Row) -> str:
    return f"{clip['video_uri']} [{clip['start_seconds']}, {clip['end_seconds']})"


def _carry(values: pa.Array, groups: Sequence[list[int]]) -> pa.Array:
    # NaN is not equal to itself, but its text is; 0.0 and -0.0 are equal, and their texts are not.
    if all(
        values[p] == values[group[0]] or repr(values[p]) == repr(values[group[0]])
        for group in groups
        for p in group[1:]
    ):
        return values.take(pa.array([group[0] for group in groups]))
    offsets = [0]
    for group in groups:
        offsets.append(offsets[-1] + len(group))
    flat = values.take(pa.array([p for group in groups for p in group]))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)


def _place(clip: Row) -> tuple[str, float, float, str]:
    start, end = clip["start_seconds"], clip["end_seconds"]
    return (
        clip["video_uri"],
        -1.0 if start is None else start,
        math.inf if end is None else end,
        clip["clip_id"],
    )
