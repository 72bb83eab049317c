"""Rows of training shards with their pixels, a row group at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mama_augment.core.errors import InputError
from mama_augment.core.schema import VIDEO_KEY
from mama_augment.core.store.files import Folder
from mama_train.data.index import SplitIndex


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One kept caption of a clip, the concepts that it is about and, where the shards say, how well
    it agrees with the clip; in a made world, whether it is of that clip."""

    text: str
    source: str
    concept_ids: tuple[int, ...]
    agreement: float | None = None
    is_aligned: bool | None = None


class ClipRows:
    """Rows of a split by number, with the last few row groups kept in memory. Picklable."""

    def __init__(
        self, index: SplitIndex, *, num_groups_kept: int = 4, column: str = "frames"
    ) -> None:
        """`column`: what is read of a clip beside its captions."""
        self.index = index
        self.columns = ["clip_id", column, "captions"]
        self.num_groups_kept = num_groups_kept
        self._folder = Folder(index.uri)
        self._kept: OrderedDict[tuple[int, str], pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": OrderedDict()}

    def clip(self, column: str, row: int) -> Any:
        """What a clip has in a column, as an Arrow scalar: the JPEG files of its frames, in time
        order, or its vectors. Another column than the one that is read with the captions is read
        when it is asked for."""
        return self._row(column, row)

    def place(self, row: int) -> str:
        """File, row and clip, for messages."""
        group = int(self.index.group_R[row])
        name, number, _ = self.index.groups[group]
        before = sum(rows for file, n, rows in self.index.groups if file == name and n < number)
        in_file = before + int(self.index.row_in_group_R[row])
        return f"{self.index.uri}/{name} row {in_file} (clip {self.clip_id(row)!r})"

    def clip_id(self, row: int) -> str:
        """The id of a clip."""
        return self._row("clip_id", row).as_py()

    def captions(self, row: int) -> list[Caption]:
        """All kept captions of a clip, whatever the index leaves out."""
        return [
            Caption(
                text=c["text"],
                source=c["source"],
                concept_ids=tuple(c["concept_ids"]),
                agreement=c.get("agreement"),
                is_aligned=c.get("is_aligned"),
            )
            for c in self._row("captions", row).as_py()
        ]

    def _row(self, column: str, row: int) -> Any:
        other = "" if column in self.columns else column
        table = self._group(int(self.index.group_R[row]), other)
        return table[column][int(self.index.row_in_group_R[row])]

    def _group(self, group: int, other: str) -> pa.Table:
        """A row group's columns, or one other column of it."""
        key = (group, other)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        name, number, _ = self.index.groups[group]
        columns = [other] if other else self.columns
        with self._folder.open_input(name) as stream:
            table = pq.ParquetFile(stream).read_row_group(number, columns=columns)
        self._kept[key] = table
        while len(self._kept) > self.num_groups_kept:
            self._kept.popitem(last=False)
        return table


def video_keys(index: SplitIndex) -> NDArray[np.int64] | None:
    """[R] a number for each clip's video; None where no two clips share one."""
    name = VIDEO_KEY.name
    if not index.has_column(name):
        return None
    folder, found = Folder(index.uri), [np.empty(0, np.int64)]
    for file in dict.fromkeys(group[0] for group in index.groups):
        with folder.open_input(file) as stream:
            column = pq.ParquetFile(stream).read(columns=[name])[name]
        found.append(column.to_numpy().astype(np.uint64).view(np.int64))
    return np.concatenate(found)


def all_texts(index: SplitIndex) -> Iterator[str]:
    """Every text of a split, file by file, without reading frames."""
    for texts in _caption_field(index, "text"):
        yield from texts.to_pylist()


def all_agreements(index: SplitIndex) -> NDArray[np.float64]:
    """Ascending agreement scores of all captions of a split; those without one are left out.

    Raises:
        InputError: the shards' captions have no such field, or no caption has a score.
    """
    found = [part.to_numpy().astype(np.float64) for part in _caption_field(index, "agreement")]
    scores = np.concatenate([np.empty(0), *found])
    kept = np.sort(scores[np.isfinite(scores)])
    if not len(kept):
        raise InputError(
            f"margin_rule agreement needs an agreement score of captions, and the "
            f"{index.split} captions in {index.uri!r} have none; give shards with the field "
            "captions.agreement, or another --margin-rule (fixed, running)"
        )
    return kept


def check_aligned(index: SplitIndex) -> None:
    """Raises InputError where the shards do not say of every caption whether it is of its clip."""
    parts = list(_caption_field(index, "is_aligned"))
    if sum(len(part) - part.null_count for part in parts) < len(index.number_C):
        raise InputError(
            f"weights oracle needs the truth about captions, and the {index.split} captions in "
            f"{index.uri!r} lack it (captions.is_aligned); give shards of a made world "
            "(`mama-augment shapes --kind features`), or other --weights"
        )


def concept_lists(index: SplitIndex) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(concept ids of all captions of the files, one after the other; where each caption's begin,
    and the end of the last), in file order."""
    ids, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part in _caption_field(index, "concept_ids"):
        ids.append(pc.list_flatten(part).to_numpy().astype(np.int64))
        lengths.append(pc.list_value_length(part).to_numpy().astype(np.int64))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return np.concatenate(ids), starts


def keep_probabilities(index: SplitIndex) -> NDArray[np.float64]:
    """How often `balance` wants each caption of the files visited, in file order.

    Raises:
        InputError: the shards do not say.
    """
    parts = [part.to_numpy() for part in _caption_field(index, "keep_probability")]
    found = np.concatenate([np.empty(0), *parts])
    if index.num_captions and len(found) <= index.number_C.max():
        raise InputError(
            f"visit=weighted: {index.uri!r} has captions without keep_probability; give shards of "
            "`mama-augment balance --keep-as weights`, or another --visit"
        )
    return found


def _caption_field(index: SplitIndex, name: str) -> Iterator[pa.ChunkedArray]:
    """A field of all captions of a split, file by file, in order; nothing where a file lacks it."""
    folder = Folder(index.uri)
    for file_name in dict.fromkeys(g[0] for g in index.groups):
        with folder.open_input(file_name) as stream:
            file = pq.ParquetFile(stream)
            captions = file.schema_arrow.field("captions").type.value_type
            if captions.get_field_index(name) < 0:
                continue
            prefix = f"captions.list.element.{name}"
            column = file.read(columns=[prefix])["captions"]
        yield pc.struct_field(pc.list_flatten(column), name)
