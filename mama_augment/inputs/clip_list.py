"""From rows of (video, span, text) to clips: merged by span, named, checked, sorted.

Rows are of one clip when they lead to the same file, however they write it (`a.mp4`, `./a.mp4`,
an absolute path, another signature of a URI), and give the same span.

All of it column by column: a row as Python values costs twenty times its bytes. A column that
has been used is let go, so that the list is never in memory twice. The steps:

1. check every row's values (`spans.check_rows`);
2. number the videos, and find where their URIs are sorted (without what is secret in them);
3. sort the rows by URI and span: those of a clip now stand side by side (`spans.group_rows`);
4. settle clip_id and split, which the rows of a clip give together (`spans.agreed`);
5. name the clips that have no id, and refuse an id of two clips;
6. gather each column in the order of 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.schema import CLIP_EXTRAS, CLIPS
from mama_augment.inputs.spans import Spans, agreed, check_rows, group_rows
from mama_augment.inputs.table.columns import (
    Gather,
    blocks,
    gather,
    give_back,
    numbered,
    places,
)
from mama_augment.inputs.table.manifest import Rows
from mama_augment.inputs.texts import lists, texts_of

Locate = Callable[[str], tuple[str, str]]

CLIP_LIST = pa.schema(
    [CLIPS.field(n) for n in ("clip_id", "video_uri", "start_seconds", "end_seconds")]
    + [CLIPS.field("texts"), CLIPS.field("split")]
)
"""Columns of a clip list; the manifest's other columns follow."""
OWN_COLUMNS = (*CLIPS.names, *(name for name in CLIP_EXTRAS.names if name != "questions"))
"""What no further column may be called."""
EXTRA = "extra "
"""Before the names of further columns: they may be called as a known one is, which then is another
(`--text-column`)."""


def clip_id_of(relative_path: str, start: float | None, end: float | None) -> str:
    """First 16 hex digits of sha256("relative path|start|end"); an open end is an empty field."""
    start_text, end_text = ("" if t is None else repr(float(t)) for t in (start, end))
    return hashlib.sha256(f"{relative_path}|{start_text}|{end_text}".encode()).hexdigest()[:16]


def list_clips(rows: Rows, where: str, locate: Locate) -> pa.Table:
    """One row per clip, sorted by video, span and id.

    Args:
        rows: at least the known column `video`; its columns are taken out.
        where: the manifest's name, for messages.
        locate: a row's video to (URI, path relative to the input's root).

    Raises:
        InputError: a value that cannot be right, or rows that contradict each other.
    """
    columns, extra = rows.known, rows.extra
    if taken := [name for name in extra if name in OWN_COLUMNS]:
        raise InputError(
            f"{where}: the column {taken[0]!r} is one that the clips table makes itself; rename it"
        )
    for name in ("start_seconds", "end_seconds"):
        columns.setdefault(name, pa.chunked_array([pa.nulls(len(columns["video"]), pa.float64())]))
    check_rows(columns, where)
    video_of, videos = numbered(columns.pop("video"))
    give_back()
    spans = group_rows(columns, video_of, places(_keys(videos, locate)))
    made = agreed(columns, ("clip_id", "split"), spans, where, _at(videos, video_of))
    made["texts"] = texts_of(columns, spans)
    give_back()
    for name in ("start_seconds", "end_seconds"):
        made[name] = gather(columns.pop(name), spans.first_rows)
    names = list(extra)
    for name in names:
        made[f"{EXTRA}{name}"] = _carried(extra.pop(name), spans)
    columns.clear()
    videos = gather(videos, video_of[spans.first_rows])
    del video_of
    give_back()
    made["clip_id"] = _ids(made, videos, locate)
    _check_ids(made, videos, spans, where, locate)
    made.setdefault("split", pa.chunked_array([pa.nulls(spans.num_clips, pa.string())]))
    del spans
    give_back()
    made["video_uri"] = _mapped(videos, lambda video: locate(video)[0])
    del videos
    table = pa.table([made[name] for name in CLIP_LIST.names], CLIP_LIST)
    for name in names:
        table = table.append_column(name, made[f"{EXTRA}{name}"])
    return table


def _at(videos: pa.ChunkedArray, video_of: np.ndarray) -> Callable[[int], str]:
    """From a row to its video."""
    return lambda row: str(videos[video_of[row]])


def _keys(videos: pa.ChunkedArray, locate: Locate) -> pa.ChunkedArray:
    """What tells one file from another."""
    return _mapped(videos, lambda video: shown(locate(video)[0]))


def _mapped(videos: pa.ChunkedArray, function: Callable[[str], str]) -> pa.ChunkedArray:
    chunks = [
        pa.array([function(video) for video in videos[block].to_pylist()], pa.string())
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


def _carried(column: pa.ChunkedArray, spans: Spans) -> pa.ChunkedArray:
    """A further column by clip: its value, or all values where rows of one clip differ.

    The choice is made for the whole column, so that every file has the same type.
    """
    source = Gather(column)
    firsts, others, clips = spans.split(np.ones(len(spans.rows), bool))
    heads = firsts[clips]
    if all(_same(source.block(others[b]), source.block(heads[b])) for b in blocks(len(others))):
        return gather(column, firsts)
    values = pa.list_(column.type)
    return lists(spans.starts, lambda part: source.block(spans.rows[part]), values)


def _same(one: pa.Array, other: pa.Array) -> bool:
    """Whether two arrays hold the same values; NaN is the same as NaN."""
    return one.equals(other) or _equal(one.to_pylist(), other.to_pylist())


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    return bool(one == other) or (one != one and other != other)
