"""Rows of training shards with their pixels, a row group at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mama_augment.core.store.files import Folder
from mama_train.data.index import SplitIndex


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One kept caption of a clip, and the concepts that it is about."""

    text: str
    source: str
    concept_ids: tuple[int, ...]


class ClipRows:
    """Rows of a split by number, with the last few row groups kept in memory. Picklable."""

    def __init__(self, index: SplitIndex, *, num_groups_kept: int = 4) -> None:
        self.index = index
        self.num_groups_kept = num_groups_kept
        self._folder = Folder(index.uri)
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": OrderedDict()}

    def frames(self, row: int) -> list[bytes]:
        """The JPEG files of a clip's frames, in time order."""
        return self._row("frames", row).as_py()

    def clip_id(self, row: int) -> str:
        """The id of a clip."""
        return self._row("clip_id", row).as_py()

    def captions(self, row: int) -> list[Caption]:
        """All kept captions of a clip, whatever the index leaves out."""
        return [
            Caption(text=c["text"], source=c["source"], concept_ids=tuple(c["concept_ids"]))
            for c in self._row("captions", row).as_py()
        ]

    def _row(self, column: str, row: int) -> Any:
        table = self._group(int(self.index.group_R[row]))
        return table[column][int(self.index.row_in_group_R[row])]

    def _group(self, group: int) -> pa.Table:
        if group in self._kept:
            self._kept.move_to_end(group)
            return self._kept[group]
        name, number, _ = self.index.groups[group]
        with self._folder.open_input(name) as stream:
            table = pq.ParquetFile(stream).read_row_group(
                number, columns=["clip_id", "frames", "captions"]
            )
        self._kept[group] = table
        while len(self._kept) > self.num_groups_kept:
            self._kept.popitem(last=False)
        return table


def all_texts(index: SplitIndex) -> Iterator[str]:
    """Every text of a split, file by file, without reading frames."""
    folder = Folder(index.uri)
    for name in dict.fromkeys(g[0] for g in index.groups):
        with folder.open_input(name) as stream:
            column = pq.ParquetFile(stream).read(columns=["captions.list.element.text"])
        texts = pc.struct_field(pc.list_flatten(column["captions"]), "text")
        yield from texts.to_pylist()
