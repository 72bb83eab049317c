"""What training shards hold, without pixels: which clips lie where, who wrote their captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mama_augment.core import manifest
from mama_augment.core.errors import InputError
from mama_augment.core.schema import GENERATED_PREFIX, SPLITS
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import MANIFEST_NAME
from mama_augment.core.store.sidecars import CONCEPTS_NAME, read_sidecar
from mama_augment.core.store.step_dir import StepDir
from mama_train.data.config import Sources


@dataclass(frozen=True, kw_only=True)
class SplitIndex:
    """What a split holds, without frames. Arrays over clip rows (R) or over captions (C).

    groups: (file, row group number, rows) of each row group, in file order.
    group_R, row_in_group_R: where each clip row lies. clip_C, caption_C: the clip row of each
    caption, ascending, and its place in that clip's list. is_generated_C: a captioner wrote it.
    number_C: its number among all captions of the files. columns: of each file.
    """

    split: str
    uri: str
    groups: list[tuple[str, int, int]]
    group_R: NDArray[np.int64]
    row_in_group_R: NDArray[np.int64]
    clip_C: NDArray[np.int64]
    caption_C: NDArray[np.int64]
    is_generated_C: NDArray[np.bool_]
    number_C: NDArray[np.int64]
    columns: dict[str, frozenset[str]] = field(default_factory=dict)

    def check_column(self, column: str, advice: str) -> None:
        """Raises InputError, with what to do about it, where a file has no such column."""
        for name, columns in self.columns.items():
            if column not in columns:
                raise InputError(f"{self.uri}/{name} lacks the column {column}; {advice}")

    def has_column(self, column: str) -> bool:
        """Whether every file has it."""
        return bool(self.columns) and all(column in held for held in self.columns.values())

    @property
    def num_clips(self) -> int:
        return len(self.group_R)

    @property
    def num_captions(self) -> int:
        return len(self.clip_C)

    @property
    def num_captioned_clips(self) -> int:
        """Clips with a caption that this index holds."""
        return len(np.unique(self.clip_C))

    def only(self, sources: Sources) -> SplitIndex:
        """The same clips with the captions of some sources only."""
        if sources == "all":
            return self
        kept = self.is_generated_C == (sources == "generated")
        return self._with(kept)

    def _with(self, kept_C: NDArray[np.bool_]) -> SplitIndex:
        fields = dict(vars(self))
        for name in ("clip_C", "caption_C", "is_generated_C", "number_C"):
            fields[name] = fields[name][kept_C]
        return SplitIndex(**fields)


def read_splits(uri: str) -> dict[str, SplitIndex]:
    """The index of every split; the step directory is read once.

    Raises:
        InputError: see `read_index`.
    """
    files = shard_files(uri)
    return {split: _read_index(uri, split, files[split]) for split in SPLITS}


def read_index(uri: str, split: str) -> SplitIndex:
    """Index the committed files of a split; an absent split has no rows.

    Raises:
        InputError: `uri` holds no shards, or a file has other columns.
    """
    return _read_index(uri, split, shard_files(uri).get(split, []))


def _read_index(uri: str, split: str, names: Sequence[str]) -> SplitIndex:
    folder = Folder(uri)
    groups: list[tuple[str, int, int]] = []
    lengths, generated = [], []
    columns: dict[str, frozenset[str]] = {}
    for name in names:
        with folder.open_input(name) as stream:
            file = pq.ParquetFile(stream)
            _check_columns(file, f"{uri}/{name}")
            columns[name] = frozenset(file.schema_arrow.names)
            for number in range(file.num_row_groups):
                groups.append((name, number, file.metadata.row_group(number).num_rows))
            captions = file.read(columns=["captions.list.element.source"])["captions"]
        lengths.append(_to_numpy(pc.list_value_length(captions)))
        sources = pc.struct_field(pc.list_flatten(captions), "source")
        generated.append(_to_numpy(pc.starts_with(sources, GENERATED_PREFIX)))
    length_R = np.concatenate([np.empty(0, np.int64), *lengths]).astype(np.int64)
    rows = np.array([g[2] for g in groups], np.int64)
    first_C = np.cumsum(length_R) - length_R
    return SplitIndex(
        split=split,
        uri=uri,
        groups=groups,
        group_R=np.repeat(np.arange(len(groups)), rows),
        row_in_group_R=np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows),
        clip_C=np.repeat(np.arange(len(length_R)), length_R),
        caption_C=np.arange(length_R.sum()) - np.repeat(first_C, length_R),
        is_generated_C=np.concatenate([np.empty(0, bool), *generated]).astype(bool),
        number_C=np.arange(length_R.sum()),
        columns=columns,
    )


def shard_files(uri: str) -> dict[str, list[str]]:
    """The data files of each split: the committed ones of `balance`, or every Parquet file there.

    Raises:
        InputError: `uri` does not exist, or holds the output of another step.
    """
    folder = Folder(uri)
    if not folder.exists():
        raise InputError(f"{uri!r} does not exist; give the output of `mama-augment balance`")
    if folder.exists(MANIFEST_NAME):
        names = sorted(unit.name for unit in StepDir.open(uri, step="balance").units())
    else:
        names = [n for split in SPLITS for n in folder.sizes_bytes(split) if n.endswith(".parquet")]
    return {split: [name for name in names if name.startswith(f"{split}/")] for split in SPLITS}


def fingerprint(uri: str) -> str:
    """Changes when files of the shards are added, removed or of another size."""
    folder = Folder(uri)
    return manifest.fingerprint({split: folder.sizes_bytes(split) for split in SPLITS})


def read_concepts(uri: str) -> list[dict[str, Any]]:
    """`concepts.json`: id, name, num_before, num_after of each concept; empty when absent."""
    folder = Folder(uri)
    return read_sidecar(folder, CONCEPTS_NAME) if folder.exists(CONCEPTS_NAME) else []


def _check_columns(file: pq.ParquetFile, name: str) -> None:
    needed = {"clip_id", "captions"}
    missing = sorted(needed - set(file.schema_arrow.names))
    if missing:
        raise InputError(
            f"{name} lacks the columns {', '.join(missing)}; training shards are what "
            "`mama-augment balance` writes (docs/data-format.md)"
        )


def _to_numpy(array: pa.ChunkedArray) -> NDArray[Any]:
    return array.to_numpy()


def groups_in_window(index: SplitIndex, window_clips: int) -> int:
    """The most row groups that a window of visits can hold."""
    smallest_first = np.cumsum(sorted(rows for _, _, rows in index.groups))
    return int(np.searchsorted(smallest_first, window_clips)) + 1


def concept_frequency(concepts: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Training captions per concept id, after balancing."""
    return {int(c["id"]): int(c["num_after"]) for c in concepts}
