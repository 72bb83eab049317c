"""A manifest read a block at a time is the one that is read at once."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from mama_augment.inputs import manifest
from mama_augment.inputs.csv_file import read_csv
from mama_augment.inputs.jsonl_file import read_jsonl
from mama_augment.inputs.manifest import KNOWN_COLUMNS, read_manifest

TIMES = ["2024-01-02", "2024-01-02 03:04:05", "03:04:05", "20240102"]
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
            column_types={name: pa.string() for name in KNOWN_COLUMNS},
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
    st.lists(st.sampled_from(["video", "text", "a", "b", "a"]), min_size=1, max_size=4),
    st.lists(FIELD, min_size=1, max_size=4),
    st.sampled_from([16, 64, 10_000]),
    st.data(),
)
def test_csv_in_blocks_has_the_types_of_the_whole_column(
    names: list[str], values: list[str], block_bytes: int, data: st.DataObject
) -> None:
    field = st.builds(as_field, st.sampled_from(values), st.booleans())
    row = st.lists(field, min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(row, max_size=12))
    content = "\n".join(",".join(line) for line in [names, *rows]).encode() + b"\n"
    wanted = table_or_none(lambda: csv_at_once(content))
    found = table_or_none(
        lambda: read_csv(lambda: pa.BufferReader(content), KNOWN_COLUMNS, block_bytes)
    )
    assert (found is None) == (wanted is None)
    if wanted is not None and wanted.num_rows:
        assert found is not None
        assert found.schema == wanted.schema
        assert repr(found.to_pydict()) == repr(wanted.to_pydict())


def test_csv_that_is_not_utf8_is_bytes_and_long_rows_fit() -> None:
    long = b"y" * 1000
    content = b"\xef\xbb\xbfvideo,a,b\nv,\xff,1\nw," + long + b",\n"
    table = read_csv(lambda: pa.BufferReader(content), KNOWN_COLUMNS, 32)
    assert table.to_pydict() == {"video": ["v", "w"], "a": [b"\xff", long], "b": [1, None]}


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
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


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
    found = table_or_none(lambda: read_jsonl(pa.BufferReader(content.encode()), block_bytes))
    assert (found is None) == (wanted is None)
    if wanted is not None:
        assert found is not None
        assert found.equals(wanted)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"video": "v"}\n\n[1]', "line 3 is not a JSON object"),
        (b'{"video": "v"}\n{"video": "w"', "line 2: Expecting"),
        (b'{"video": "v"}\n{"video": "\xff"}', "line 2: 'utf-8' codec"),
        (
            b'{"video": "v", "a": 1}\n{"video": "v", "a": "x"}\n',
            "column 'a': Could not convert 'x'",
        ),
        (b'{"video": "v", "a": 9223372036854775808}', "column 'a': Python int too large"),
        (b'{"a": ' + b"[" * 100_000, "line 1: .*recursion"),
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
        read_jsonl(pa.BufferReader(content), 11)


def test_parquet_in_batches_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "BLOCK_ROWS", 3)
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
    assert found.schema.types == [pa.string(), *rows.schema.types[1:]]
    assert found.to_pydict() == rows.to_pydict()


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
