"""The texts of every clip, from the rows that are it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from mama_augment.core.schema import CLIPS, TEXT
from mama_augment.inputs.spans import Spans
from mama_augment.inputs.table.columns import Gather, blocks, numbers_of
from mama_augment.inputs.table.typed import KNOWN_COLUMNS

HUMAN = "human"
"""Where texts come from whose source nobody says."""


def texts_of(columns: dict[str, pa.ChunkedArray], spans: Spans) -> pa.ChunkedArray:
    """By clip, the texts of its rows that have one; takes the columns of texts.

    A row may have a list of texts: they share its source.
    """
    given = {name: columns.pop(name) for name in ("text", "source", "trusted") if name in columns}
    text = given.pop("text", None)
    if text is None:
        text = pa.chunked_array([pa.nulls(len(spans.rows), pa.string())])
    rows, starts = spans.rows, spans.starts
    elements = rows
    if pt.is_list(text.type):
        text, first, number = _flat(text)
        number = number[rows]
        starts = np.append(0, np.cumsum(number))[starts]
        elements = np.repeat(first[rows] - np.append(0, np.cumsum(number))[:-1], number)
        elements += np.arange(len(elements))
        rows = np.repeat(rows, number)
    has_text = numbers_of(pc.greater(pc.binary_length(text), 0), False)[elements]
    if not has_text.all():
        starts = np.append(0, np.cumsum(has_text))[starts]
        rows, elements = rows[has_text], elements[has_text]
    texts = Gather(text)
    sources = {name: Gather(column) for name, column in given.items()}
    del text, given

    def values(name: str, part: slice) -> pa.Array:
        if name in sources:
            return sources[name].block(rows[part])
        return pa.nulls(part.stop - part.start, KNOWN_COLUMNS[name])

    def structs(part: slice) -> pa.Array:
        source, trusted = (values(name, part) for name in ("source", "trusted"))
        is_given = pc.fill_null(pc.greater(pc.binary_length(source), 0), False)
        source = pc.if_else(is_given, source, pa.scalar(HUMAN, pa.string()))
        fields = [texts.block(elements[part]), source, pc.fill_null(trusted, False)]
        return pa.StructArray.from_arrays(fields, fields=list(TEXT))

    return lists(starts, structs, CLIPS.field("texts").type)


def _flat(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, np.ndarray, np.ndarray]:
    """All elements of a column of lists; by row, the first of its own (int64), and how many."""
    number = numbers_of(pc.fill_null(pc.list_value_length(column), 0), 0).astype(np.int64)
    flat = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
    return flat, np.append(0, np.cumsum(number))[:-1], number


def lists(
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


def count_texts(clips: pa.Table) -> tuple[int, int]:
    """(texts of all clips, clips that have none)."""
    number = pc.fill_null(pc.list_value_length(clips["texts"]), 0)
    return int(pc.sum(number).as_py() or 0), int(pc.sum(pc.equal(number, 0)).as_py() or 0)
