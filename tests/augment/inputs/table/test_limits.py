"""A manifest too large to be one is refused in one line, before it fills the memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder
from mama_augment.inputs.find import find_clips
from mama_augment.inputs.table.config import ManifestConfig, ManifestLimits, depth_of
from mama_augment.inputs.table.manifest import read_manifest
from mama_augment.inputs.table.parquet_file import written_bytes


def refusal(folder: Path, name: str, limits: ManifestLimits | None = None) -> str:
    config = ManifestConfig(limits=limits or ManifestLimits())
    with pytest.raises(InputError) as caught:
        read_manifest(Folder(str(folder)), name, config)
    message = str(caught.value)
    assert "\n" not in message
    return message


def nested(depth: int) -> pa.DataType:
    type_ = pa.int64()
    for _ in range(depth):
        type_ = pa.struct([("a", type_)])
    return type_


@pytest.mark.parametrize("depth", [21, 2000])
def test_nesting(tmp_path: Path, depth: int) -> None:
    (tmp_path / "m.jsonl").write_text('{"video": "v", "a": %s}' % ("[" * depth + "]" * depth))
    assert "nested more than 20 deep" in refusal(tmp_path, "m.jsonl")
    (tmp_path / "m.json").write_text('[{"video": "v", "a": %s}]' % ("[" * depth + "]" * depth))
    assert "nested more than 20 deep" in refusal(tmp_path, "m.json")
    column = pa.nulls(1, nested(depth))
    pq.write_table(pa.table({"video": ["v"], "a": column}), tmp_path / "m.parquet")
    assert "nested" in refusal(tmp_path, "m.parquet")


def test_what_is_nested_as_deep_as_is_allowed_is_read_and_written(tmp_path: Path) -> None:
    value: Any = 1
    for _ in range(20):
        value = {"a": value}
    (tmp_path / "m.jsonl").write_text(json.dumps({"video": "v", "a": value}))
    clips = find_clips(str(tmp_path / "m.jsonl"))
    assert clips["a"].to_pylist() == [value]
    pq.write_table(clips, tmp_path / "clips.parquet")
    assert pq.read_table(tmp_path / "clips.parquet")["a"].to_pylist() == [value]
    assert depth_of(clips.schema.field("a").type) == 20


def test_columns(tmp_path: Path) -> None:
    names = ["video", *(f"c{number}" for number in range(1000))]
    (tmp_path / "m.csv").write_text(",".join(names) + "\n" + "v," * 1000 + "v\n")
    assert "it has 1,001 columns; at most 1,000 are read" in refusal(tmp_path, "m.csv")
    rows = (json.dumps({"video": "v", name: "v"}) for name in names)
    (tmp_path / "m.jsonl").write_text("\n".join(rows))
    assert "1,001 columns" in refusal(tmp_path, "m.jsonl")
    pq.write_table(pa.table({name: ["v"] for name in names}), tmp_path / "m.parquet")
    assert "1,001 columns" in refusal(tmp_path, "m.parquet")


def test_rows_and_cells(tmp_path: Path) -> None:
    limits = ManifestLimits(rows=3, cell_bytes=10)
    rows = [{"video": "v", "note": "x" * n} for n in (1, 10, 1, 1)]
    for name in ("m.csv", "m.jsonl", "m.json", "m.parquet"):
        for number, wanted in (
            (4, "more than 3 rows; --max-rows allows more"),
            (3, "row 2: note is 11 bytes long; at most 10"),
        ):
            some = [dict(row) for row in rows[:number]]
            some[1]["note"] += "x" * (number == 3)
            write(tmp_path / name, some)
            assert wanted in refusal(tmp_path, name, limits), name
        write(tmp_path / name, rows[:3])
        read = read_manifest(Folder(str(tmp_path)), name, ManifestConfig(limits=limits))
        assert len(read.known["video"]) == 3


def write(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        objects = [json.dumps(row) for row in rows]
        path.write_text("\n".join(objects) if path.suffix == ".jsonl" else f"[{','.join(objects)}]")


CHILD = """
import resource, sys
from mama_augment.core.errors import InputError
from mama_augment.inputs.find import find_clips
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    find_clips(sys.argv[1])
except InputError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", ["rows", "cells", "late", "prefixes", "lists", "sparse"])
def test_a_small_file_never_becomes_gigabytes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("m.jsonl" if kind == "sparse" else "m.parquet")
    if kind == "rows":  # 12 million rows that say the same
        rows = pa.array(["v.mp4"]).dictionary_encode().take(pa.array([0] * 10_000))
        table = pa.table({"video": pa.chunked_array([rows] * 1_200)})
        pq.write_table(table, path, row_group_size=2_000_000)
    elif kind == "cells":  # 2,000 texts of 1 MB
        texts = pa.array(["x" * 2**20]).dictionary_encode().take(pa.array([0] * 2_000))
        pq.write_table(pa.table({"video": ["v"] * 2_000, "text": texts}), path)
    elif kind == "late":  # nothing, and then 2,000 texts of 1 MB
        texts = pa.array(["x" * 2**20, None]).dictionary_encode()
        texts = texts.take(pa.array([None, 1, *[0] * 2_000]))
        pq.write_table(pa.table({"video": ["v"] * 2_002, "text": texts}), path)
    elif kind == "prefixes":
        texts = pa.array([f"{'x' * 2**20}{number % 7}" for number in range(500)])
        table = pa.table({"video": ["v"] * 500, "text": texts})
        encoding = {"text": "DELTA_BYTE_ARRAY"}
        pq.write_table(table, path, use_dictionary=False, column_encoding=encoding)
    elif kind == "lists":  # 2,000 lists of 25 texts of 100 kB
        inner = pa.array(["x" * 100_000]).dictionary_encode().take(pa.array([0] * 50_000))
        lists = pa.ListArray.from_arrays(pa.array(range(0, 50_001, 25), pa.int32()), inner)
        pq.write_table(pa.table({"video": ["v"] * 2_000, "tags": lists}), path)
    else:  # 900 columns with one value each among 200,000 empty rows
        lines = [json.dumps({"video": "v", f"c{number}": 1}) for number in range(900)]
        path.write_text("\n".join(lines + ["{}"] * 200_000))
    assert path.stat().st_size < 1_000_000
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
    )
    message, megabytes = result.stdout.splitlines()
    assert "cannot be read as a manifest" in message
    assert int(megabytes) < 600, message


def test_bytes_are_counted_as_they_would_be_written_out() -> None:
    texts = ["aaaa", "bb", None, "aaaa"]
    plain = pa.array(texts)
    for array in (plain.dictionary_encode(), pa.array([texts], pa.list_(pa.string()))):
        assert 10 <= written_bytes(array) <= 10 + 8 * 5 + 16
    thousand = plain.dictionary_encode().take(pa.array([0] * 1000))
    assert written_bytes(thousand) == 4 * 1000 + 8 * 1000
