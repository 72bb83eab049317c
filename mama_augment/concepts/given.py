"""Concepts that a column of the clips table already names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from mama_augment.concepts.base import ColumnKind, ConceptAssigner, ConceptConfig, write_model
from mama_augment.concepts.column import is_list, is_number, is_string
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.core.store.files import Folder


def _holds_labels(type_: pa.DataType) -> bool:
    if is_list(type_):
        return is_string(type_.value_type)
    return is_string(type_) or is_number(type_) or bool(pt.is_boolean(type_))


@dataclass(frozen=True)
class Given(ConceptAssigner):
    """Assigns to each text of a clip what the clip's column says: a label, or a list of labels."""

    name = "given"
    help = "a label in --concept-column: a string, a number, or a list of strings"
    options = ("column",)
    reads = ColumnKind(text="labels: strings, numbers, or lists of strings", fits=_holds_labels)

    labels: tuple[str, ...]
    column: str | None = None
    """Where the labels are."""

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Given:
        """See ConceptAssigner."""
        return fit_given(batches, config.column)

    @property
    def names(self) -> Sequence[str]:
        return self.labels

    def assign(self, batch: TextBatch) -> list[list[int]]:
        index = {label: i for i, label in enumerate(self.labels)}
        return [
            sorted({index[label] for label in labels_of(value) if label in index})
            for value in batch.values
        ]

    def save(self, folder: Folder) -> None:
        content = {"assigner": self.name, "column": self.column, "labels": self.labels}
        write_model(folder, content)

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Given:
        """See ConceptAssigner."""
        return cls(tuple(content["labels"]), content.get("column"))


def fit_given(batches: TextBatches, column: str | None = None) -> Given:
    """Collect the labels that occur, in alphabetical order."""
    labels = {label for batch in batches() for value in batch.values for label in labels_of(value)}
    return Given(tuple(sorted(labels)), column)


def labels_of(value: Any) -> list[str]:
    """Labels in one cell: none for null, one for a scalar, all of a list; blanks left out."""
    cell = value if isinstance(value, list | tuple) else [value]
    return [str(label).strip() for label in cell if label is not None and str(label).strip()]
