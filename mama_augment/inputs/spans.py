"""Rows of a manifest to spans of videos: checked, grouped, and sorted as clips are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.core.address import shown
from mama_augment.core.errors import InputError
from mama_augment.core.schema import SPLITS
from mama_augment.inputs.table.columns import Gather, blocks, gather, numbers_of

Columns = Mapping[str, pa.ChunkedArray]
NO_START, NO_END = -1.0, math.inf
"""Where open spans are sorted: before and behind all others."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Which rows are the same span of the same video; C clips of R rows.

    rows: int64 [R], the rows of the first clip, then of the second, …; a clip's own in order.
    starts: int64 [C + 1], where each clip's rows start in `rows`.
    """

    rows: np.ndarray
    starts: np.ndarray

    @property
    def num_clips(self) -> int:
        return len(self.starts) - 1

    @property
    def first_rows(self) -> np.ndarray:
        """int64 [C]: the first row of each clip."""
        return self.rows[self.starts[:-1]]

    def rows_of(self, clip: int) -> list[int]:
        rows: list[int] = self.rows[self.starts[clip] : self.starts[clip + 1]].tolist()
        return rows

    def clip_of(self) -> np.ndarray:
        """int64 [R]: the clip of each element of `rows`."""
        return np.repeat(np.arange(self.num_clips), np.diff(self.starts))

    def split(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the rows in `mask` (bool [R], by row): the first of each clip (-1 where it has
        none), all further ones, and the clips of the further ones."""
        chosen = np.flatnonzero(mask[self.rows])
        clips, rows = self.clip_of()[chosen], self.rows[chosen]
        is_first = np.diff(clips, prepend=-1) > 0
        firsts = np.full(self.num_clips, -1)
        firsts[clips[is_first]] = rows[is_first]
        return firsts, rows[~is_first], clips[~is_first]


def check_rows(columns: Columns, where: str) -> None:
    """Refuse values that cannot be right.

    Raises:
        InputError: naming the first row that holds one.
    """
    video, start, end = (columns[n] for n in ("video", "start_seconds", "end_seconds"))
    start_seconds, end_seconds = numbers_of(start, 0.0), numbers_of(end, NO_END)
    wrong = numbers_of(pc.equal(pc.binary_length(video), 0), True)
    wrong |= ~(np.isfinite(start_seconds) & (start_seconds >= 0))
    wrong |= ~(end_seconds > start_seconds)
    wrong |= ~np.isfinite(end_seconds) & numbers_of(end.is_valid(), False)
    if "split" in columns:
        split = columns["split"]
        wrong |= ~numbers_of(pc.is_in(split, pa.array(SPLITS)), False) & numbers_of(
            split.is_valid(), False
        )
    if wrong.any():
        row = int(wrong.argmax())
        names = [n for n in ("video", "start_seconds", "end_seconds", "split") if n in columns]
        _check_row({n: columns[n][row].as_py() for n in names}, f"{where}, row {row + 1}")
        raise AssertionError(f"row {row + 1} is wrong and right")


def _check_row(row: Mapping[str, Any], where: str) -> None:
    if not row["video"]:
        raise InputError(f"{where}: video is empty; a path or URI is needed")
    start, end = row["start_seconds"], row["end_seconds"]
    for name, value in (("start_seconds", start), ("end_seconds", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"{where}: {name} is {value}; 0 or more is needed")
    if end is not None and end <= (start or 0.0):
        raise InputError(
            f"{where}: the span [{start or 0.0}, {end}) is empty; end_seconds must be larger than "
            "start_seconds"
        )
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise InputError(f"{where}: split is {split!r}; allowed: {', '.join(SPLITS)}")


def group_rows(columns: Columns, video_of: np.ndarray, place_of: np.ndarray) -> Spans:
    """Rows with the same video and span are one clip; clips sorted by URI and span.

    video_of: int32 [R], each row's number of its video. place_of: int32, where each video's URI
    is sorted; two videos may be written differently and have one URI: they are one.
    """
    place = place_of[video_of]
    start = numbers_of(columns["start_seconds"], NO_START)
    end = numbers_of(columns["end_seconds"], NO_END)
    rows = np.lexsort((end, start, place))
    is_new = np.zeros(len(rows), bool)
    for key in (place, start, end):
        is_new |= _changes(key[rows])
    return Spans(rows=rows, starts=np.append(np.flatnonzero(is_new), len(rows)))


def _changes(values: np.ndarray) -> np.ndarray:
    """bool: where a value is not the one before it; the first has none before it."""
    return np.append(True, values[1:] != values[:-1])


def agreed(
    columns: Columns, names: tuple[str, ...], spans: Spans, where: str, video: Callable[[int], str]
) -> dict[str, pa.ChunkedArray]:
    """By name: the one value that the rows of each clip give; rows may leave it out.

    video: of a row, for messages.

    Raises:
        InputError: the rows of a clip give two; of several such clips, the first.
    """
    values: dict[str, pa.ChunkedArray] = {}
    torn: dict[str, set[int]] = {}
    for name in names:
        if name in columns:
            given = numbers_of(pc.greater(pc.binary_length(columns[name]), 0), False)
            firsts, others, clips = spans.split(given)
            values[name] = gather(columns[name], firsts)
            torn[name] = set(clips[differ(columns[name], others, firsts[clips])].tolist())
    if wrong := set[int]().union(*torn.values()):
        clip = min(wrong, key=lambda c: spans.first_rows[c])
        name = next(name for name in names if clip in torn.get(name, ()))
        rows = spans.rows_of(clip)
        number = {columns[name][row].as_py(): row + 1 for row in reversed(rows)}
        (one, row), (other, other_row) = sorted(
            ((value, row) for value, row in number.items() if value), key=lambda item: item[1]
        )[:2]
        raise InputError(
            f"{where}: rows {row} and {other_row} are the same span of "
            f"{shown(video(rows[0]))!r}, but their {name} is {one!r} and {other!r}"
        )
    return values


def differ(column: pa.ChunkedArray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool: where the strings of `rows` are not those of `others`; none of them is null."""
    source = Gather(column)
    found = [
        pc.not_equal(source.block(rows[b]), source.block(others[b])).to_numpy(zero_copy_only=False)
        for b in blocks(len(rows))
    ]
    return np.concatenate([np.zeros(0, bool), *found])
