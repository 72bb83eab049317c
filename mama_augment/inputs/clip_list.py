"""From rows of (video, span, text) to clips: merged by span, named, checked, sorted.

All of it column by column: a row as Python values costs twenty times its bytes. A column that
has been used is let go, so that the list is never in memory twice. The steps:

1. check every row's values (`spans.check_rows`);
2. number the videos, and find each one's URI once;
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

from mama_augment.core.errors import InputError
from mama_augment.core.schema import CLIPS, TEXT
from mama_augment.core.store.address import shown
from mama_augment.inputs.columns import Gather, blocks, gather, numbers_of
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
    if taken := [name for name in extra if name in CLIPS.names]:
        raise InputError(
            f"{where}: the column {taken[0]!r} is one that the clips table makes itself; rename it"
        )
    columns = _columns(rows)
    del rows
    check_rows(columns, where)
    videos = columns["video"] = columns["video"].dictionary_encode()
    video_of = np.concatenate([chunk.indices.to_numpy() for chunk in videos.chunks])
    uris, paths = _located(videos.chunk(videos.num_chunks - 1).dictionary, locate)
    del videos
    spans = group_rows(columns, video_of, uris)
    made = agreed(columns, ("clip_id", "split"), spans, where)
    video_of = video_of[spans.first_rows]
    for name in ("start_seconds", "end_seconds"):
        made[name] = gather(columns.pop(name), spans.first_rows)
    for name in ("video", *made):
        columns.pop(name, None)
    made["clip_id"] = _named(made, paths, video_of)
    del paths
    _check_ids(made, uris, video_of, spans, where)
    made["texts"] = _texts(columns, spans)
    made.setdefault("split", pa.chunked_array([pa.nulls(spans.num_clips, pa.string())]))
    for name in extra:
        made[name] = _carried(columns.pop(name), spans)
    made["video_uri"] = gather(uris, video_of)
    del uris
    table = pa.table([made[name] for name in CLIP_LIST.names], CLIP_LIST)
    for name in extra:
        table = table.append_column(name, made[name])
    return _with_twins_sorted(table, spans)


def _columns(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """By name, the known ones with their types; spans are open where there is no column."""
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    for name, type_ in KNOWN_COLUMNS.items():
        if name in columns:
            columns[name] = columns[name].cast(type_)
    for name in ("start_seconds", "end_seconds"):
        columns.setdefault(name, pa.chunked_array([pa.nulls(rows.num_rows, pa.float64())]))
    return columns


def _located(videos: pa.Array, locate: Locate) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """URIs and relative paths."""
    uris, paths = [], []
    for block in blocks(len(videos)):
        found = [locate(video) for video in videos[block].to_pylist()]
        uris.append(pa.array([uri for uri, _ in found], pa.string()))
        paths.append(pa.array([path for _, path in found], pa.string()))
    return pa.chunked_array(uris, pa.string()), pa.chunked_array(paths, pa.string())


def _named(
    made: dict[str, pa.ChunkedArray], paths: pa.ChunkedArray, path_of: np.ndarray
) -> pa.ChunkedArray:
    """The given ids, and those that follow from path and span for clips that have none."""
    given, source = made.get("clip_id"), Gather(paths)
    chunks = []
    for block in blocks(len(path_of)):
        known = given[block].to_pylist() if given else [None] * (block.stop - block.start)
        if None in known:
            spans = (made[name][block].to_pylist() for name in ("start_seconds", "end_seconds"))
            clips = zip(known, source.block(path_of[block]).to_pylist(), *spans, strict=True)
            known = [name or clip_id_of(path, start, end) for name, path, start, end in clips]
        chunks.append(pa.array(known, pa.string()))
    return pa.chunked_array(chunks, pa.string())


def _check_ids(
    made: dict[str, pa.ChunkedArray],
    uris: pa.ChunkedArray,
    uri_of: np.ndarray,
    spans: Spans,
    where: str,
) -> None:
    first_rows = spans.first_rows
    seen: dict[str, int] = {}
    for clip in sorted(_doubtful(made["clip_id"]), key=lambda clip: first_rows[clip]):
        clip_id = made["clip_id"][clip].as_py()
        other = seen.setdefault(clip_id, clip)
        if other != clip:
            (row, span), (other_row, other_span) = (
                (
                    first_rows[c] + 1,
                    f"{shown(uris[uri_of[c]].as_py())} "
                    f"[{made['start_seconds'][c].as_py()}, {made['end_seconds'][c].as_py()})",
                )
                for c in (clip, other)
            )
            raise InputError(
                f"{where}: clip_id {clip_id!r} names two different spans: row {other_row} "
                f"({other_span}) and row {row} ({span}). Give each span its own clip_id"
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
    """By clip, the texts of its rows that have one."""
    has_text = np.zeros(len(spans.rows), bool)
    given = {name: columns.pop(name) for name in ("text", "source", "trusted") if name in columns}
    if "text" in given:
        has_text = numbers_of(pc.greater(pc.binary_length(given["text"]), 0), False)[spans.rows]
    rows, counts = spans.rows[has_text], np.add.reduceat(has_text, spans.starts[:-1], dtype=int)
    sources = {name: Gather(column) for name, column in given.items()}
    del given

    def structs(part: slice) -> pa.Array:
        values = {name: source.block(rows[part]) for name, source in sources.items()}
        num_rows = part.stop - part.start
        human = pa.scalar("human", pa.string())
        source = values.get("source", pa.nulls(num_rows, pa.string()))
        trusted = values.get("trusted", pa.nulls(num_rows, pa.bool_()))
        is_given = pc.fill_null(pc.greater(pc.binary_length(source), 0), False)
        fields = [
            values.get("text", pa.nulls(0, pa.string())),
            pc.if_else(is_given, source, human),
            pc.fill_null(trusted, False),
        ]
        return pa.StructArray.from_arrays(fields, fields=list(TEXT))

    return _lists(counts, structs, CLIP_LIST.field("texts").type)


def _carried(column: pa.ChunkedArray, spans: Spans) -> pa.ChunkedArray:
    """A further column by clip: its value, or all values where rows of one clip differ.

    The choice is made for the whole column, so that every file has the same type.
    """
    source = Gather(column)
    firsts, others, clips = spans.split(np.ones(len(spans.rows), bool))
    heads = firsts[clips]
    if all(source.block(others[b]).equals(source.block(heads[b])) for b in blocks(len(others))):
        return gather(column, firsts)
    counts = np.diff(spans.starts)
    return _lists(counts, lambda part: source.block(spans.rows[part]), pa.list_(column.type))


def _lists(
    counts: np.ndarray, values: Callable[[slice], pa.Array], type_: pa.DataType
) -> pa.ChunkedArray:
    """Lists of so many values each, where `values` gives those from one number to another."""
    ends = np.cumsum(counts)
    chunks = []
    for block in blocks(len(counts)):
        first = ends[block.start] - counts[block.start]
        offsets = np.append(0, ends[block] - first).astype(np.int32)
        content = values(slice(first, ends[block.stop - 1]))
        chunks.append(pa.ListArray.from_arrays(pa.array(offsets), content, type=type_))
    return pa.chunked_array(chunks, type_)


def _with_twins_sorted(table: pa.Table, spans: Spans) -> pa.Table:
    """The same span of one URI that two paths lead to: by clip_id."""
    if not spans.is_twin.any():
        return table
    order = np.arange(table.num_rows)
    for run in _runs(spans.is_twin):
        ids = table["clip_id"][run].to_pylist()
        order[run] = run.start + np.array(sorted(range(len(ids)), key=ids.__getitem__))
    return pa.table([gather(column, order) for column in table.columns], table.schema)


def _runs(is_twin: np.ndarray) -> Iterator[slice]:
    starts = np.append(np.flatnonzero(~is_twin), len(is_twin)).tolist()
    for start, end in pairwise(starts):
        if end > start + 1:
            yield slice(start, end)
