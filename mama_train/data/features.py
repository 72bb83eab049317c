"""Clips as vectors: a shards' column of features, read and checked row by row.

A row is a list of vectors (of frames, say), of fixed or variable list type, or one vector, in
float16, float32 or float64.

Shapes: N stored vectors, T vectors of the model, W numbers per vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mama_augment.core.errors import InputError
from mama_train.data.frames import STORED_FRAMES, choose_frames
from mama_train.data.index import SplitIndex
from mama_train.data.rows import ClipRows
from mama_train.models.config import ModelConfig
from mama_train.models.heads import HeadsConfig
from mama_train.models.specs import FeatureSpec

Vectors = NDArray[np.float32]


class FeatureReader:
    """Clips as features: float32 [T,W]."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.column = spec.column

    def stored(self, rows: ClipRows, row: int) -> Vectors:
        """[N,W] of all stored vectors.

        Raises:
            InputError: they are missing, of another dimension, or not finite.
        """
        found = vectors_of(rows, self.column, row)
        if found.shape[1] != self.spec.width:
            raise InputError(
                f"{rows.place(row)}: {self.column} has vectors of {found.shape[1]} dimensions; the "
                f"model takes {self.spec.width}"
            )
        return found

    def chosen(self, rows: ClipRows, row: int, draw: int | None) -> Vectors:
        """[T,W], chosen as frames are."""
        return self.picked(self.stored(rows, row), draw)

    def picked(self, stored: Vectors, draw: int | None) -> Vectors:
        """Those of all that a visit takes."""
        return stored[choose_frames(len(stored), self.spec.num_frames, draw)]

    def augmented(self, video_TW: Vectors, strength: float, draw: int) -> Vectors:
        """As it is: of augmentation, only the choice of frames concerns vectors."""
        return video_TW

    def empty(self, num: int) -> Vectors:
        """Room for so many clips."""
        return np.empty((num, self.spec.num_frames, self.spec.width), np.float32)

    @property
    def bytes_per_clip(self) -> int:
        """Memory for all vectors of a clip, about: one where the model takes one."""
        most = 1 if self.spec.num_frames == 1 else max(self.spec.num_frames, STORED_FRAMES)
        return 4 * most * self.spec.width


def vectors_of(rows: ClipRows, column: str, row: int) -> Vectors:
    """[N,W] of a clip.

    Raises:
        InputError: the column holds no vectors, or this row's are missing, not of one dimension or
            not finite.
    """
    value = rows.clip(column, row)
    if not _is_list(value.type):
        raise InputError(
            f"{rows.place(row)}: {column} is of type {value.type}; a list of vectors per clip is "
            "needed, or one vector, of float16, float32 or float64"
        )
    problem = _problem(value.values)
    if not problem:
        values = value.values
        num, flat = (len(values), values.flatten()) if _is_list(values.type) else (1, values)
        numbers = flat.to_numpy(zero_copy_only=False)  # null becomes NaN
        found: Vectors = numbers.astype(np.float32).reshape(num, -1)
        if np.isfinite(found).all():
            return found
        problem = "holds NaN, infinity or a number that is missing"
    raise InputError(f"{rows.place(row)}: {column} {problem}")


def _problem(values: Any) -> str:
    """What keeps a row's list from being vectors of one size; empty where nothing does."""
    if values is None or not len(values):
        return "is missing"
    numbers = values.type
    if _is_list(numbers):
        if values.null_count:
            return "holds a vector that is missing"
        widths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(widths) > 1:
            return "holds vectors of several sizes"
        if widths == [0]:
            return "holds vectors without numbers"
        numbers = numbers.value_type
    if not pa.types.is_floating(numbers):
        return f"holds {numbers}, where float16, float32 or float64 is needed"
    return ""


def heads_config(index: SplitIndex, config: ModelConfig) -> HeadsConfig:
    """The model `heads` for the vectors of a split, which its first clip stands for.

    Raises:
        InputError: there is no such column, or the first clip has no vectors.
    """
    column = config.features_column
    index.check_column(
        column, "--model heads needs a column of vectors (--features-column, docs/data-format.md)"
    )
    num, width = vectors_of(ClipRows(index, column=column), column, 0).shape
    return HeadsConfig(
        width=width,
        num_frames=config.num_frames or num,
        column=column,
        hidden=config.heads_hidden,
        embed_dim=config.heads_dim,
    )


def _is_list(kind: Any) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
