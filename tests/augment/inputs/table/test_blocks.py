"""A manifest read a block at a time is the one that is read at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.inputs.table import parquet_file
from mama_augment.inputs.table.csv_file import read_csv
from mama_augment.inputs.table.json_file import read_json, read_jsonl
from mama_augment.inputs.table.manifest import read_manifest
from mama_augment.inputs.table.source import Memory

TIMES = ["2024-01-02", "2024-01-02 03:04:05", "03:04:05", "20240102"]
NAMES = ["video", "text", "a", "b"]
FIELD = st.sampled_from(["", "1", " 2", "2.5", "true", "x", 'q"u,o', "l\nm", "nan", *TIMES])


def table_or_none(read: Callable[[], pa.Table]) -> pa.Table | None:
    try:
        return read()
    except (ValueError, TypeError, OverflowError):
        return None


def csv_at_once(content: bytes) -> pa.Table:
    return pacsv.read_csv(
        pa.BufferReader(content),
        read_options=pacsv.ReadOptions(block_size=len(content) + 1, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in NAMES},
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def as_field(text: str, is_quoted: bool) -> str:
    if is_quoted or any(letter in text for letter in '",\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from([*NAMES, "a"]), min_size=1, max_size=4),
    st.lists(FIELD, min_size=1, max_size=4),
    st.sampled_from([16, 64, 10_000]),
    st.data(),
)
def test_csv_in_blocks_is_the_file_read_at_once(
    names: list[str], values: list[str], block_bytes: int, data: st.DataObject
) -> None:
    field = st.builds(as_field, st.sampled_from(values), st.booleans())
    row = st.lists(field, min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(row, max_size=12))
    content = "\n".join(",".join(line) for line in [names, *rows]).encode() + b"\n"
    wanted = table_or_none(lambda: csv_at_once(content))
    found = table_or_none(lambda: read_csv(Memory(content), delimiter=",", block_bytes=block_bytes))
    assert (found is None) == (wanted is None)
    if wanted is not None and wanted.num_rows:
        assert found is not None
        assert found.schema == wanted.schema
        assert repr(found.to_pydict()) == repr(wanted.to_pydict())


def test_long_rows_fit_and_what_is_not_utf8_is_named() -> None:
    long = "y" * 1000
    content = f"\ufeffvideo,a,b\nv,é,1\nw,{long},\n"
    table = read_csv(Memory(content.encode()), block_bytes=32)
    assert table.to_pydict() == {"video": ["v", "w"], "a": ["é", long], "b": ["1", None]}
    with pytest.raises(ValueError, match=r"row 1: a is b'\\xe9': .*--encoding cp1252"):
        read_csv(Memory(content.encode("cp1252", errors="ignore")), block_bytes=32)
    assert read_csv(Memory(content[1:].encode("cp1252"), "cp1252")) == table


SCALAR = st.none() | st.sampled_from([1, 2, 2**53 + 1]) | st.sampled_from([0.5, 1.0])
VALUE = (
    SCALAR
    | st.booleans()
    | st.text("aä\u2028\x85", max_size=2)
    | st.lists(SCALAR, max_size=2)
    | st.dictionaries(st.sampled_from("xyz"), SCALAR | st.lists(SCALAR, max_size=1), max_size=2)
    | st.lists(st.dictionaries(st.sampled_from("xy"), SCALAR, max_size=2), max_size=2)
)


def jsonl_at_once(rows: list[dict[str, Any]]) -> pa.Table:
    refuse_truth_among_numbers(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows]) for name in names}
    for name, column in columns.items():
        if "struct<>" in str(column.type):  # objects that are all empty: Parquet has none
            columns[name] = pa.array(without_empty(column.to_pylist()))
    return pa.table(columns)


def without_empty(value: Any) -> Any:
    if isinstance(value, list):
        return [without_empty(element) for element in value]
    if isinstance(value, dict):
        return {name: without_empty(element) for name, element in value.items()} or None
    return value


def refuse_truth_among_numbers(values: list[Any]) -> None:
    """What pyarrow reads as 1.0, where a number came before it."""
    kinds = {type(value) for value in values} - {type(None)}
    if bool in kinds and kinds - {bool}:
        raise TypeError("true is no number")
    lists = [value for value in values if isinstance(value, list)]
    if lists:
        refuse_truth_among_numbers([element for value in lists for element in value])
    objects = [value for value in values if isinstance(value, dict)]
    for name in {name for value in objects for name in value}:
        refuse_truth_among_numbers([value.get(name) for value in objects])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), unique=True, max_size=3),
    st.lists(VALUE, min_size=1, max_size=3),
    st.sampled_from([1, 30, 10_000]),
    st.booleans(),
    st.data(),
)
def test_jsonl_in_blocks_has_the_types_of_the_whole_column(
    names: list[str], values: list[Any], block_bytes: int, escapes: bool, data: st.DataObject
) -> None:
    fields = st.fixed_dictionaries({}, optional={n: st.sampled_from(values) for n in names})
    rows = data.draw(st.lists(fields, max_size=12))
    lines = [json.dumps(row, ensure_ascii=escapes) for row in rows]
    content = "\ufeff" + "\r\n \n".join(lines)
    wanted = table_or_none(lambda: jsonl_at_once(rows))
    found = table_or_none(lambda: read_jsonl(Memory(content.encode()), block_bytes=block_bytes))
    assert (found is None) == (wanted is None)
    if wanted is not None:
        assert found is not None
        assert found.equals(wanted)
    # The same objects as one list, or one after the other.
    for text in (f"[{', '.join(lines)}]", "\n".join(lines)):
        source = Memory(text.encode())
        listed = table_or_none(partial(read_json, source, block_bytes=block_bytes))
        assert (listed is None) == (wanted is None)
        assert listed is None or listed.equals(wanted)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"video": "v"}\n\n[1]', "line 3 is not a JSON object"),
        (b'{"video": "v"}\n{"video": "w"', "line 2: Expecting"),
        (b'{"video": "v"}\n{"video": "\xff"}', "line 2: it is not UTF-8"),
        (
            b'{"video": "v", "a": 1}\n{"video": "v", "a": "x"}\n',
            "column 'a': Could not convert 'x'",
        ),
        (b'{"video": "v", "a": [9223372036854775808]}', "column 'a': .*int too (large|big)"),
        (b'{"video": "v", "a": 1.5}\n{"video": "v", "a": true}', "column 'a' holds .*double and"),
        (b'{"a": ' + b"[" * 100_000, "line 1 is nested more than 20 deep"),
        (b'{"video": "v", "a": ' + b"1" * 5000 + b"}", "line 1: Exceeds the limit"),
        (b'{"a": 1}', "no column `video`; its columns are a"),
        (b"\n \n", "no column `video`; its columns are none"),
    ],
)
def test_what_is_wrong_with_jsonl_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_manifest(Folder(str(tmp_path)), "m.jsonl")


def test_types_that_differ_between_blocks_are_named() -> None:
    content = b'{"a": [1]}\n{"a": ["x"]}'
    with pytest.raises(ValueError, match="column 'a' holds values of several types: int64 and str"):
        read_jsonl(Memory(content), block_bytes=11)


def test_parquet_in_batches_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "BLOCK_ROWS", 3)
    rows = pa.table(
        {
            "video": pa.array([f"v{n}" for n in range(10)]).dictionary_encode(),
            "tags": [[n, None] if n % 3 else None for n in range(10)],
            "box": [{"x": n, "y": "z"} for n in range(10)],
            "kind": pa.array([str(n % 2) for n in range(10)]).dictionary_encode(),
        }
    )
    pq.write_table(rows, tmp_path / "m.parquet", row_group_size=4)
    found = read_manifest(Folder(str(tmp_path)), "m.parquet")
    columns = {**found.known, **found.extra}
    assert [c.type for c in columns.values()] == [pa.string(), *rows.schema.types[1:]]
    assert {n: c.to_pylist() for n, c in columns.items()} == rows.to_pydict()


def test_messages_hold_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("name\nv\n")
    uri = f"file://{tmp_path}/?token=SECRET"
    with pytest.raises(InputError, match="no column `video`") as caught:
        read_manifest(WithName(str(tmp_path), uri), "m.csv")
    assert "SECRET" not in str(caught.value)


class WithName(Folder):
    """A local folder that goes by another name."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(path)
        self._name = name

    def __str__(self) -> str:
        return self._name
