"""The column of the clips table that holds labels or vectors: which one, and of what type."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as pt

from mama_augment.concepts.base import ConceptConfig, read_model
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

READABLE = {
    "given": "labels: strings, numbers, or lists of strings",
    "embedding": "vectors: lists of numbers",
}
"""What each assigner that reads a column makes sense of."""


@dataclass(frozen=True, kw_only=True)
class ConceptColumn:
    """A column, and the assigner that reads it."""

    name: str
    assigner: str
    """`given` or `embedding`."""

    def check(self, schema: pa.Schema, uri: str) -> None:
        """
        Raises:
            InputError: the table at `uri` has no such column, or one of another type.
        """
        fitting = [field.name for field in schema if self._reads(field.type)]
        allowed = (
            f"--concepts {self.assigner} reads {READABLE[self.assigner]}; columns of {uri!r} of "
            f"that kind: {', '.join(fitting) or 'none'}"
        )
        if self.name not in schema.names:
            raise InputError(f"--concept-column {self.name!r}: there is no such column. {allowed}")
        if self.name not in fitting:
            kind = schema.field(self.name).type
            raise InputError(f"--concept-column {self.name!r} holds {kind}. {allowed}")

    def _reads(self, kind: pa.DataType) -> bool:
        if pt.is_null(kind):
            return True
        if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
            inner = kind.value_type
            return _is_number(inner) if self.assigner == "embedding" else _is_string(inner)
        if self.assigner == "embedding":
            return False
        return _is_string(kind) or _is_number(kind) or pt.is_boolean(kind)


def concept_column(config: ConceptConfig) -> ConceptColumn | None:
    """What `config` reads: the column given, else the one that the saved model was made from.

    Raises:
        InputError: a column is needed and not known, or it is given and nothing would read it.
    """
    assigner, name = config.assigner, config.column
    if config.model:
        content = read_model(Folder(config.model))
        assigner = content["assigner"]
        name = name or content.get("column")
        if config.assigner not in (ConceptConfig.assigner, assigner):
            raise InputError(
                f"--concepts {config.assigner}: --concept-model {config.model!r} is a model of "
                f"{assigner!r}; leave --concepts out"
            )
    if assigner not in READABLE:
        if name is None:
            return None
        raise InputError(
            f"--concept-column {name!r}: {assigner} reads the texts; a column is read by "
            f"--concepts {' and '.join(READABLE)}"
        )
    if not name:
        raise InputError(
            f"--concept-model {config.model!r} is a model of {assigner!r} and does not say which "
            "column of the clips table it was made from: name it with --concept-column"
        )
    return ConceptColumn(name=name, assigner=assigner)


def _is_string(kind: pa.DataType) -> bool:
    inner = kind.value_type if pt.is_dictionary(kind) else kind
    return bool(pt.is_string(inner) or pt.is_large_string(inner))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind))
