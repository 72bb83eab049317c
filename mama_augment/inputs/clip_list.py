"""From rows of (video, span, text) to clips: merged by span, named, checked, sorted.

All of it column by column: a row as Python values costs twenty times its bytes. A column that
has been used is let go, so that the list is never in memory twice. The steps:

1. check every row's values (`spans.check_rows`);
2. number the videos, and find where their URIs are sorted;
3. sort the rows by URI and span: those of a clip now stand side by side (`spans.group_rows`);
4. settle clip_id and split, which the rows of a clip give together (`spans.agreed`);
5. name the clips that have no id, and refuse an id of two clips;
6. gather each column in the order of 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.schema import CLIPS, TEXT
from mama_augment.inputs.columns import (
    Gather,
    blocks,
    gather,
    give_back,
    numbered,
    numbers_of,
    places,
)
from mama_augment.inputs.manifest import KNOWN_COLUMNS
from mama_augment.inputs.spans import Spans, agreed, check_rows, group_rows

Locate = Callable[[str], tuple[str, str]]

CLIP_LIST = pa.schema(
    [CLIPS.field(n) for n in ("clip_id", "video_uri", "start_seconds", "end_seconds")]
    + [CLIPS.field("texts"), CLIPS.field("split")]
)
"""Columns of a clip list; the manifest's other columns follow."""


def clip_id_of(relative_path: str, start: float | None, end: float | None) -> str:
    """First 16 hex digits of sha256("relative path|start|end"); an open end is an empty field."""
    start_text, end_text = ("" if t is None else repr(float(t)) for t in (start, end))
    return hashlib.sha256(f"{relative_path}|{start_text}|{end_text}".encode()).hexdigest()[:16]


def list_clips(rows: pa.Table, where: str, locate: Locate) -> pa.Table:
    """One row per clip, sorted by video, span and id.

    Args:
        rows: at least a column `video`; known columns typed as in KNOWN_COLUMNS.
        where: the manifest's name, for messages.
        locate: a row's video to (URI, path relative to the input's root).

    Raises:
        InputError: a value that cannot be right, or rows that contradict each other.
    """
    extra = [name for name in rows.column_names if name not in KNOWN_COLUMNS]
    own = (*CLIPS.names, "train_frames", "train_frame_seconds")
    if taken := [name for name in extra if name in own]:
        raise InputError(
            f"{where}: the column {taken[0]!r} is one that the clips table makes itself; rename it"
        )
    columns = _columns(rows)
    del rows
    check_rows(columns, where)
    video_of, videos = numbered(columns.pop("video"))
    give_back()
    spans = group_rows(columns, video_of, places(_uris(videos, locate)))
    made = agreed(columns, ("clip_id", "split"), spans, where, _at(videos, video_of))
    made["texts"] = _texts(columns, spans)
    give_back()
    for name in ("start_seconds", "end_seconds"):
        made[name] = gather(columns.pop(name), spans.first_rows)
    for name in extra:
        made[name] = _carried(columns.pop(name), spans)
    columns.clear()
    videos = gather(videos, video_of[spans.first_rows])
    del video_of
    give_back()
    made["clip_id"] = _ids(made, videos, locate)
    _check_ids(made, videos, spans, where, locate)
    made.setdefault("split", pa.chunked_array([pa.nulls(spans.num_clips, pa.string())]))
    is_twin = spans.is_twin
    del spans
    give_back()
    made["video_uri"] = _uris(videos, locate)
    del videos
    table = pa.table([made[name] for name in CLIP_LIST.names], CLIP_LIST)
    for name in extra:
        table = table.append_column(name, made[name])
    return _with_twins_sorted(table, is_twin)


def _columns(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """By name, the known ones with their types; spans are open where there is no column."""
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    for name, type_ in KNOWN_COLUMNS.items():
        if name in columns:
            columns[name] = columns[name].cast(type_)
    for name in ("start_seconds", "end_seconds"):
        columns.setdefault(name, pa.chunked_array([pa.nulls(rows.num_rows, pa.float64())]))
    return columns


def _at(videos: pa.ChunkedArray, video_of: np.ndarray) -> Callable[[int], str]:
    """From a row to its video."""
    return lambda row: str(videos[video_of[row]])


def _uris(videos: pa.ChunkedArray, locate: Locate) -> pa.ChunkedArray:
    chunks = [
        pa.array([locate(video)[0] for video in videos[block].to_pylist()], pa.string())
        for block in blocks(len(videos))
    ]
    return pa.chunked_array(chunks, pa.string())


def _ids(
    made: dict[str, pa.ChunkedArray], videos: pa.ChunkedArray, locate: Locate
) -> pa.ChunkedArray:
    """The given ids, and those that follow from path and span for clips that have none."""
    given = made.get("clip_id", pa.chunked_array([pa.nulls(len(videos), pa.string())]))
    spans = (made["start_seconds"], made["end_seconds"])
    chunks = []
    for block in blocks(len(videos)):
        clips = zip(*(column[block].to_pylist() for column in (given, videos, *spans)), strict=True)
        ids = [
            clip_id or clip_id_of(shown(locate(video)[1]), start, end)
            for clip_id, video, start, end in clips
        ]
        chunks.append(pa.array(ids, pa.string()))
    return pa.chunked_array(chunks, pa.string())


def _check_ids(
    made: dict[str, pa.ChunkedArray],
    videos: pa.ChunkedArray,
    spans: Spans,
    where: str,
    locate: Locate,
) -> None:
    def described(clip: int) -> str:
        start, end = (made[name][clip].as_py() for name in ("start_seconds", "end_seconds"))
        uri = shown(locate(videos[clip].as_py())[0])
        return f"row {spans.first_rows[clip] + 1} ({uri} [{start}, {end}))"

    first_rows = spans.first_rows
    seen: dict[str, int] = {}
    for clip in sorted(_doubtful(made["clip_id"]), key=lambda clip: first_rows[clip]):
        clip_id = made["clip_id"][clip].as_py()
        other = seen.setdefault(clip_id, clip)
        if other != clip:
            raise InputError(
                f"{where}: clip_id {clip_id!r} names two different spans: {described(other)} "
                f"and {described(clip)}. Give each span its own clip_id"
            )


def _doubtful(ids: pa.ChunkedArray) -> list[int]:
    """Clips whose id may be another's too: a hash of eight bytes says so, for a tenth of the
    memory of a set of all ids."""
    hashes = np.empty(len(ids), np.int64)
    for block in blocks(len(ids)):
        hashes[block] = [hash(clip_id) for clip_id in ids[block].to_pylist()]
    order = np.argsort(hashes)
    is_same = hashes[order[1:]] == hashes[order[:-1]]
    return np.union1d(order[1:][is_same], order[:-1][is_same]).tolist()


def _texts(columns: dict[str, pa.ChunkedArray], spans: Spans) -> pa.ChunkedArray:
    """By clip, the texts of its rows that have one; takes the columns of texts."""
    given = {name: columns.pop(name) for name in ("text", "source", "trusted") if name in columns}
    text = given.get("text", pa.chunked_array([pa.nulls(len(spans.rows), pa.string())]))
    has_text = numbers_of(pc.greater(pc.binary_length(text), 0), False)[spans.rows]
    rows, starts = spans.rows, spans.starts
    if not has_text.all():
        rows, starts = rows[has_text], np.append(0, np.cumsum(has_text))[starts]
    sources = {name: Gather(column) for name, column in given.items()}
    del text, given

    def values(name: str, part: slice) -> pa.Array:
        if name in sources:
            return sources[name].block(rows[part])
        return pa.nulls(part.stop - part.start, KNOWN_COLUMNS[name])

    def structs(part: slice) -> pa.Array:
        text, source, trusted = (values(name, part) for name in ("text", "source", "trusted"))
        is_given = pc.fill_null(pc.greater(pc.binary_length(source), 0), False)
        source = pc.if_else(is_given, source, pa.scalar("human", pa.string()))
        fields = [text, source, pc.fill_null(trusted, False)]
        return pa.StructArray.from_arrays(fields, fields=list(TEXT))

    return _lists(starts, structs, CLIP_LIST.field("texts").type)


def _carried(column: pa.ChunkedArray, spans: Spans) -> pa.ChunkedArray:
    """A further column by clip: its value, or all values where rows of one clip differ.

    The choice is made for the whole column, so that every file has the same type.
    """
    source = Gather(column)
    firsts, others, clips = spans.split(np.ones(len(spans.rows), bool))
    heads = firsts[clips]
    if all(source.block(others[b]).equals(source.block(heads[b])) for b in blocks(len(others))):
        return gather(column, firsts)
    values = pa.list_(column.type)
    return _lists(spans.starts, lambda part: source.block(spans.rows[part]), values)


def _lists(
    starts: np.ndarray, values: Callable[[slice], pa.Array], type_: pa.DataType
) -> pa.ChunkedArray:
    """Lists that start so (int64 [C + 1]), where `values` gives the values of a slice."""
    chunks = []
    for block in blocks(len(starts) - 1):
        part = starts[block.start : block.stop + 1]
        offsets = pa.array((part - part[0]).astype(np.int32))
        content = values(slice(part[0], part[-1]))
        chunks.append(pa.ListArray.from_arrays(offsets, content, type=type_))
    return pa.chunked_array(chunks, type_)


def _with_twins_sorted(table: pa.Table, is_twin: np.ndarray) -> pa.Table:
    """The same span of one URI that two paths lead to: by clip_id."""
    if not is_twin.any():
        return table
    order = np.arange(table.num_rows)
    for run in _runs(is_twin):
        ids = table["clip_id"][run].to_pylist()
        order[run] = run.start + np.array(sorted(range(len(ids)), key=ids.__getitem__))
    return pa.table([gather(column, order) for column in table.columns], table.schema)


def _runs(is_twin: np.ndarray) -> Iterator[slice]:
    starts = np.append(np.flatnonzero(~is_twin), len(is_twin)).tolist()
    for start, end in pairwise(starts):
        if end > start + 1:
            yield slice(start, end)
