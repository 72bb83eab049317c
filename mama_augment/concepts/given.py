"""Concepts that a column of the clips table already names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mama_augment.concepts.base import TextBatch, TextBatches, write_model
from mama_augment.core.store.files import Folder


@dataclass(frozen=True)
class Given:
    """Assigns to each text of a clip what the clip's column says: a label, or a list of labels."""

    labels: tuple[str, ...]
    column: str | None = None
    """Where the labels are."""

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
        content = {"assigner": "given", "column": self.column, "labels": self.labels}
        write_model(folder, content)

    @classmethod
    def load(cls, content: dict[str, Any]) -> Given:
        return cls(tuple(content["labels"]), content.get("column"))


def fit_given(batches: TextBatches, column: str | None = None) -> Given:
    """Collect the labels that occur, in alphabetical order."""
    labels = {label for batch in batches() for value in batch.values for label in labels_of(value)}
    return Given(tuple(sorted(labels)), column)


def labels_of(value: Any) -> list[str]:
    """Labels in one cell: none for null, one for a scalar, all of a list; blanks left out."""
    cell = value if isinstance(value, list | tuple) else [value]
    return [str(label).strip() for label in cell if label is not None and str(label).strip()]
