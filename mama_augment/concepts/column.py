"""The column of the clips table that holds labels or vectors: which one, and of what type."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as pt

from mama_augment.concepts.base import ColumnKind, ConceptConfig, read_model
from mama_augment.concepts.registry import ASSIGNERS
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder


@dataclass(frozen=True, kw_only=True)
class ConceptColumn:
    """A column, and the assigner that reads it."""

    name: str
    assigner: str
    kind: ColumnKind
    """What the assigner makes sense of."""

    def check(self, schema: pa.Schema, uri: str) -> None:
        """
        Raises:
            InputError: the table at `uri` has no such column, or one of another type.
        """
        fitting = [field.name for field in schema if self._fits(field.type)]
        allowed = (
            f"--concepts {self.assigner} reads {self.kind.text}; columns of {uri!r} of "
            f"that kind: {', '.join(fitting) or 'none'}"
        )
        if self.name not in schema.names:
            raise InputError(f"--concept-column {self.name!r}: there is no such column. {allowed}")
        if self.name not in fitting:
            held = schema.field(self.name).type
            raise InputError(f"--concept-column {self.name!r} holds {held}. {allowed}")

    def _fits(self, type_: pa.DataType) -> bool:
        return pt.is_null(type_) or self.kind.fits(type_)


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
    kind = ASSIGNERS[assigner].reads
    if kind is None:
        if name is None:
            return None
        readers = [other for other, variant in ASSIGNERS.items() if variant.reads]
        raise InputError(
            f"--concept-column {name!r}: {assigner} reads the texts; a column is read by "
            f"--concepts {' or '.join(readers)}"
        )
    if not name:
        raise InputError(
            f"--concept-model {config.model!r} is a model of {assigner!r} and does not say which "
            "column of the clips table it was made from: name it with --concept-column"
        )
    return ConceptColumn(name=name, assigner=assigner, kind=kind)


def is_list(type_: pa.DataType) -> bool:
    return bool(pt.is_list(type_) or pt.is_large_list(type_) or pt.is_fixed_size_list(type_))


def is_string(type_: pa.DataType) -> bool:
    """Text, dictionary-encoded or not."""
    inner = type_.value_type if pt.is_dictionary(type_) else type_
    return bool(pt.is_string(inner) or pt.is_large_string(inner))


def is_number(type_: pa.DataType) -> bool:
    return bool(pt.is_integer(type_) or pt.is_floating(type_))
