"""A clip list made column by column is the one that is made row by row."""

from __future__ import annotations

import math
import posixpath
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.inputs.clip_list import list_clips
from mama_augment.inputs.table import columns
from mama_augment.inputs.table.columns import gather
from mama_augment.inputs.table.manifest import KNOWN_COLUMNS, Rows
from tests.augment.inputs.plain_clip_list import list_clips as list_plainly

EXTRA: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "stars": (pa.int32(), st.integers(0, 1)),
    "score": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5, math.nan])),
    "tag": (pa.string(), st.sampled_from(["", "x", "ä"])),
    "tags": (pa.list_(pa.string()), st.lists(st.sampled_from(["x", None]), max_size=2)),
    "box": (pa.struct([("x", pa.int64())]), st.fixed_dictionaries({"x": st.integers(0, 1)})),
    "kind": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["p", "q"])),
    "nothing": (pa.null(), st.none()),
}
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "video": st.sampled_from(["a", "b", "./a", "\uffff.mp4", "\U0001f600.mp4", "s3://b/a"]),
    "start_seconds": st.sampled_from([0.0, -0.0, 1.0, 2.5, None]),
    "end_seconds": st.sampled_from([3.0, 7.25, None]),
    "text": st.sampled_from([None, "", "one", "two"]),
    "source": st.sampled_from([None, "", "asr"]),
    "trusted": st.sampled_from([None, True, False]),
    "clip_id": st.sampled_from([None, None, "", "i", "j", "k"]),
    "split": st.sampled_from([None, None, "train", "val"]),
}
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "video": st.sampled_from(["", None, "a"]),
    "start_seconds": st.sampled_from([math.nan, -1.0, math.inf, 5.0]),
    "end_seconds": st.sampled_from([math.nan, -1.0, math.inf, 0.0]),
    "split": st.sampled_from(["", "dev"]),
}


def locate(video: str) -> tuple[str, str]:
    return video if "://" in video else posixpath.normpath(f"/r/{video}"), video


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Manifests with some of the columns, few values, a wrong one now and then, any chunks."""
    num_rows = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from([*KNOWN, *EXTRA]), unique=True))
    names = list(dict.fromkeys([*names, "video"]))
    arrays = {}
    for name in names:
        values = KNOWN[name] if name in KNOWN else st.none() | EXTRA[name][1]
        if name in WRONG and draw(st.integers(0, 15)) == 0:
            values |= WRONG[name]
        type_ = KNOWN_COLUMNS[name] if name in KNOWN else EXTRA[name][0]
        if name == "text" and draw(st.booleans()):
            type_ = pa.list_(type_)
            values = st.none() | st.lists(values, max_size=3)
        content = draw(st.lists(values, min_size=num_rows, max_size=num_rows))
        cut = draw(st.integers(0, num_rows))
        chunks = [pa.array(part, type_) for part in (content[:cut], content[cut:])]
        arrays[name] = pa.chunked_array(chunks, type_)
    return pa.table(arrays)


def outcome(make: Any, rows: pa.Table) -> pa.Table | str:
    try:
        return make(Rows.of(rows), "rows", locate)
    except InputError as error:
        return str(error)


@settings(max_examples=400, deadline=None)
@given(tables(), st.sampled_from([1, 3, 100]))
@example(pa.table({"video": ["./a", "a"], "clip_id": ["j", "i"]}), 1)
def test_columns_and_rows_give_the_same_list_or_the_same_message(
    rows: pa.Table, block_rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK_ROWS", block_rows)
        found, wanted = outcome(list_clips, rows), outcome(list_plainly, rows)
    if isinstance(wanted, str) or isinstance(found, str):
        assert found == wanted
        return
    assert found.schema.equals(wanted.schema, check_metadata=True)
    for name in wanted.column_names:
        # NaN is not equal to itself, but its text is.
        assert repr(found[name].to_pylist()) == repr(wanted[name].to_pylist()), name
    found.validate(full=True)


@given(
    st.lists(st.lists(st.none() | st.text(max_size=2), max_size=4), max_size=4),
    st.data(),
)
def test_gathered_values_are_those_of_their_rows(
    chunks: list[list[str | None]], data: st.DataObject
) -> None:
    column = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string())
    rows = data.draw(st.lists(st.integers(-1, len(column) - 1), max_size=9))
    values = column.to_pylist()
    wanted = [None if row < 0 else values[row] for row in rows]
    assert gather(column, np.array(rows, np.int64)).to_pylist() == wanted


def test_messages_hold_no_secrets() -> None:
    uri = "s3://AKIA:SECRET@bucket/v.mp4"
    for rows in (
        {"video": [uri, uri], "split": ["train", "val"]},
        {"video": [uri, "w.mp4"], "clip_id": ["a", "a"]},
    ):
        with pytest.raises(InputError, match=r"s3://bucket/v\.mp4") as caught:
            list_clips(Rows.of(pa.table(rows)), "rows", locate)
        assert "SECRET" not in str(caught.value)
