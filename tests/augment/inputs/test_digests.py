"""A unit's digest is of what its rows say: not of chunks, offsets, or bytes behind nulls."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.inputs import digests
from mama_augment.inputs.digests import unit_digests

TEXT = st.text("ab", max_size=2)
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), TEXT),
    "large": (pa.large_string(), TEXT),
    "bytes": (pa.binary(), st.binary(max_size=2)),
    "two": (pa.binary(2), st.binary(min_size=2, max_size=2)),
    "view": (pa.string_view(), TEXT),
    "number": (pa.int32(), st.integers(0, 2)),
    "seconds": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5])),
    "flag": (pa.bool_(), st.booleans()),
    "price": (pa.decimal128(4, 1), st.sampled_from([Decimal("1.5"), Decimal("2.0")])),
    "day": (pa.date32(), st.dates(datetime.date(2020, 1, 1), datetime.date(2020, 1, 3))),
    "kind": (pa.dictionary(pa.int8(), pa.string()), TEXT),
    "tags": (pa.list_(pa.string()), st.lists(st.none() | TEXT, max_size=2)),
    "pair": (pa.list_(pa.int8(), 2), st.lists(st.integers(0, 1), min_size=2, max_size=2)),
    "texts": (
        pa.list_(pa.struct([("text", pa.string()), ("trusted", pa.bool_())])),
        st.lists(st.fixed_dictionaries({"text": TEXT, "trusted": st.booleans()}), max_size=2),
    ),
    "box": (pa.struct([("x", pa.int64())]), st.fixed_dictionaries({"x": st.integers(0, 1)})),
    "map": (pa.map_(pa.string(), pa.int8()), st.lists(st.tuples(TEXT, st.just(1)), max_size=1)),
    "nothing": (pa.null(), st.none()),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    names = draw(st.lists(st.sampled_from([*COLUMNS]), unique=True, min_size=1, max_size=4))
    num_rows = draw(st.integers(1, 9))
    columns = {}
    for name in names:
        type_, values = COLUMNS[name]
        content = draw(st.lists(st.none() | values, min_size=num_rows, max_size=num_rows))
        columns[name] = pa.array(content, type_)
    return pa.table(columns)


def rechunked(table: pa.Table, cuts: list[int]) -> pa.Table:
    """The same rows in other chunks, each with rows before and behind it in its buffers."""
    bounds = [0, *sorted(cuts), table.num_rows]
    parts = [table.slice(a, b - a) for a, b in pairwise(bounds) if b > a]
    return pa.concat_tables(parts)


@settings(max_examples=300, deadline=None)
@given(tables(), st.data(), st.sampled_from([1, 4, 1000]))
def test_equal_rows_have_equal_digests(
    table: pa.Table, data: st.DataObject, block_rows: int
) -> None:
    cuts = data.draw(st.lists(st.integers(0, table.num_rows), max_size=3))
    sizes = [
        b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), table.num_rows], strict=True)
    ]
    found = unit_digests(table, sizes)
    assert len(found) == len(sizes)
    assert all(re.fullmatch("[0-9a-f]{12}", digest) for digest in found)

    others = data.draw(st.lists(st.integers(0, table.num_rows), max_size=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "BLOCK_ROWS", block_rows)
        assert unit_digests(rechunked(table, others), sizes) == found
    doubled = pa.concat_tables([table, table]).combine_chunks()
    assert unit_digests(doubled, [*sizes, *sizes]) == [*found, *found]
    assert unit_digests(table.replace_schema_metadata({"a": "b"}), sizes) == found
    anew = pa.table([pa.array(c.to_pylist(), c.type) for c in table.columns], table.schema)
    assert unit_digests(anew, sizes) == found
    start = 0
    for size, digest in zip(sizes, found, strict=True):
        assert unit_digests(table.slice(start, size), [size]) == [digest]
        start += size


@settings(max_examples=300, deadline=None)
@given(tables(), st.data())
def test_another_value_is_another_digest(table: pa.Table, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(table.column_names))
    row = data.draw(st.integers(0, table.num_rows - 1))
    type_, values = COLUMNS[name]
    content = table[name].to_pylist()
    old, content[row] = content[row], data.draw(st.none() | values)
    position = table.column_names.index(name)
    changed = table.set_column(position, name, pa.array(content, type_))
    is_same = repr(changed[name][row].as_py()) == repr(table[name][row].as_py())
    assert (one(changed) == one(table)) == is_same, (old, content[row])


def one(table: pa.Table) -> str:
    return unit_digests(table, [table.num_rows])[0]


def test_null_empty_and_absent_differ_and_so_do_names_and_types() -> None:
    tables = [
        pa.table({"a": ["x", None]}),
        pa.table({"a": ["x", ""]}),
        pa.table({"a": ["x"]}),
        pa.table({"a": ["", "x"]}),
        pa.table({"a": ["x", None], "b": pa.nulls(2, pa.string())}),
        pa.table({"b": ["x", None]}),
        pa.table({"a": pa.array(["x", None], pa.large_string())}),
        pa.table({"a": [["x"], None]}),
        pa.table({"a": [["x"], []]}),
        pa.table({"a": [["x"], [None]]}),
        pa.table({"a": ["x", None], "b": ["", ""]}),
        pa.table({"b": ["", ""], "a": ["x", None]}),
    ]
    assert len({one(table) for table in tables}) == len(tables)


def test_what_lies_behind_a_null_does_not_count() -> None:
    mask = pa.array([False, True])
    texts = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"xyz"), pa.py_buffer(b"\1")
    )
    assert one(pa.table({"a": texts})) == one(pa.table({"a": ["x", None]}))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3]), pa.array([1, 2, 3]), mask=mask)
    assert one(pa.table({"a": lists})) == one(pa.table({"a": [[1], None]}))
    numbers = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\1"), pa.array([1, 7]).buffers()[1]]
    )
    assert one(pa.table({"a": numbers})) == one(pa.table({"a": [1, None]}))
    boxes = pa.StructArray.from_arrays([pa.array(["p", "q"])], ["x"], mask=mask)
    assert one(pa.table({"a": boxes})) == one(pa.table({"a": [{"x": "p"}, None]}))


def test_units_are_all_rows() -> None:
    with pytest.raises(AssertionError, match="2 rows in units, 3 in all"):
        unit_digests(pa.table({"a": [1, 2, 3]}), [1, 1])
