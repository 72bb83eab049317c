"""A folder that `datasets.load_dataset` opens: Parquet with decoded pictures, and a card.

The Parquet files say what `datasets` needs to know in their own schema, so that nothing of it is
needed to write them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mama_augment.core.schema import SPLITS
from mama_augment.people.export.formats.base import Add, Example, Format, Target

CARD_NAME = "README.md"
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
GROUP_BYTES = 64 * 2**20
"""Of pictures in a row group."""
FILE_BYTES = 512 * 2**20


class _Split:
    """Files of one split, one of them open."""

    def __init__(self, target: Target, name: str, schema: pa.Schema) -> None:
        self._target, self._name, self._schema = target, name, schema
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._group_bytes = self._file_bytes = 0
        self._num_files = 0
        self.num_rows = 0

    def add(self, row: dict[str, Any], num_bytes: int) -> None:
        self._rows.append(row)
        self.num_rows += 1
        self._group_bytes += num_bytes
        if self._group_bytes >= GROUP_BYTES or len(self._rows) >= 1_000:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            name = f"data/{self._name}-{self._num_files:05d}.parquet"
            path = self._open.enter_context(self._target.file(name))
            self._writer = self._open.enter_context(
                pq.ParquetWriter(path, self._schema, compression="zstd")
            )
            self._num_files += 1
        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._file_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0
        if self._file_bytes >= FILE_BYTES:
            self._end_file()

    def _end_file(self) -> None:
        self._open.close()
        self._writer, self._file_bytes = None, 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._end_file()

    def discard(self, error: BaseException) -> None:
        self._open.__exit__(type(error), error, error.__traceback__)


@contextmanager
def write_hf(target: Target) -> Iterator[Add]:
    """A row per clip; clips without a split go to train."""
    schema = hf_schema(target)
    splits: dict[str, _Split] = {}

    def add(example: Example) -> None:
        name = example.clip.get("split") or "train"
        split = splits.setdefault(name, _Split(target, name, schema))
        texts = [text["text"] for text in example.texts if text["text"] is not None]
        row = {
            **example.clip,
            "split": name,
            "text": texts[0] if texts else None,
            "frames": [{"bytes": data, "path": None} for data in example.frames],
            "frame_seconds": list(example.frame_seconds),
            "captions": list(example.texts),
        }
        split.add(row, sum(map(len, example.frames)))

    try:
        yield add
    except BaseException as error:
        for split in splits.values():
            split.discard(error)
        raise
    for split in splits.values():
        split.close()
    counts = {name: splits[name].num_rows for name in SPLITS if name in splits}
    target.folder.write_bytes(CARD_NAME, card(target, counts).encode())


def hf_schema(target: Target) -> pa.Schema:
    """With what `datasets` reads of it in its metadata."""
    fields = [
        *(f for f in target.clip_schema if f.name != "split"),
        pa.field("split", pa.string()),
        pa.field("text", pa.string()),
        pa.field("frames", pa.list_(IMAGE)),
        pa.field("frame_seconds", pa.list_(pa.float64())),
        pa.field("captions", pa.list_(pa.struct(list(target.text_schema)))),
    ]
    features = {field.name: feature(field.type) for field in fields}
    told = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": told})


def feature(type_: pa.DataType) -> Any:
    """A type as `datasets` writes it."""
    if type_ == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": feature(type_.value_type), "_type": "List"}
    if pa.types.is_struct(type_):
        return {field.name: feature(field.type) for field in type_}
    if pa.types.is_temporal(type_) or pa.types.is_decimal(type_):
        return {"dtype": str(type_), "_type": "Value"}
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    return {"dtype": names.get(str(type_), str(type_)), "_type": "Value"}


def card(target: Target, counts: dict[str, int]) -> str:
    """README.md: what the hub and a person read first. No licence is claimed: the videos have
    their own."""
    files = "".join(f"  - split: {n}\n    path: data/{n}-*.parquet\n" for n in counts)
    rows = "\n".join(f"| {name} | {number:,} |" for name, number in counts.items())
    columns = ", ".join(f"`{name}`" for name in target.text_schema.names)
    return f"""---
configs:
- config_name: default
  data_files:
{files}task_categories:
- text-to-video
- video-text-to-text
tags:
- video-text
- mama-augment
---

# {target.title}

Written by `mama-augment export`. One row per clip: `frames` are its key frames in order, shown at
`frame_seconds`; `text` is its first text, and `captions` has all of them with {columns}.

| split | clips |
|---|---:|
{rows}

```python
from datasets import load_dataset

dataset = load_dataset("path/to/this/folder")
dataset["{next(iter(counts), "train")}"][0]["frames"][0]  # a PIL image
```

The texts that a model wrote have a source that begins with `generated:`. The videos' own licences
hold for the pictures.
"""


HF = Format(
    help="a folder that `datasets` opens, with pictures and a card",
    is_folder=True,
    media=("frames",),
    writer=write_hf,
    takes_frames=True,
)
