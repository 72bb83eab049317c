"""Times of a manifest as seconds: numbers, `mm:ss`, `h:mm:ss.ms`, durations."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from mama_augment.core.errors import InputError

CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d*)?)")
"""Hours, minutes and seconds; a comma is what subtitles write."""
NOTHING = ("", "nan", "none", "null", "na", "n/a", "nat")
"""What programs write where there is no time."""
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def seconds_of(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """float64, null where there is no time; NaN is none.

    Raises:
        InputError: a value is not a time; the message names its row.
    """
    type_ = column.type
    if pt.is_time(type_) or pt.is_duration(type_):
        whole = column.cast(pa.int32()) if pt.is_time32(type_) else column
        ticks = whole.cast(pa.int64()).cast(pa.float64())
        return pc.divide(ticks, float(PER_SECOND[type_.unit]))
    if pt.is_string(type_) or pt.is_large_string(type_):
        return pa.chunked_array(_parsed(column, name, where), pa.float64())
    if not (pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_)):
        if pt.is_null(type_):
            return column.cast(pa.float64())
        raise InputError(f"{where}: column {name} holds {type_}, which is not a time in seconds")
    numbers = column.cast(pa.float64())
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def _parsed(column: pa.ChunkedArray, name: str, where: str) -> list[pa.Array]:
    chunks: list[pa.Array] = []
    row = 0
    for chunk in column.chunks:
        try:
            numbers = chunk.cast(pa.float64())
            chunks.append(pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers))
        except pa.ArrowInvalid:
            values = [
                None if text is None else _seconds(text, f"{where}, row {number}: {name}")
                for number, text in enumerate(chunk.to_pylist(), row + 1)
            ]
            chunks.append(pa.array(values, pa.float64()))
        row += len(chunk)
    return chunks


def _seconds(text: str, what: str) -> float | None:
    try:
        return clock_seconds(text)
    except ValueError:
        raise InputError(
            f"{what} is {text!r}; seconds are needed, such as 83.5, 1:23.5 or 0:01:23.5"
        ) from None


def clock_seconds(text: str) -> float | None:
    """Seconds of a number or of what a clock shows; None where there is no time.

    Raises:
        ValueError: it is neither.
    """
    word = text.strip()
    if word.lower() in NOTHING:
        return None
    if clock := CLOCK.fullmatch(word):
        hours, minutes, seconds = clock.groups()
        return 60 * (60 * int(hours or 0) + int(minutes)) + float(seconds.replace(",", "."))
    return float(word)
