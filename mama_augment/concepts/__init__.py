"""What captions are about: `fit_assigner` makes a concept assigner, `load_assigner` reuses one."""

from __future__ import annotations

from mama_augment.concepts.base import (
    ConceptAssigner,
    ConceptConfig,
    TextBatch,
    TextBatches,
    read_model,
)
from mama_augment.concepts.registry import ASSIGNERS
from mama_augment.core.store.files import Folder

__all__ = [
    "ASSIGNERS",
    "ConceptAssigner",
    "ConceptConfig",
    "TextBatch",
    "fit_assigner",
    "load_assigner",
]


def fit_assigner(config: ConceptConfig, batches: TextBatches) -> ConceptAssigner:
    """Make the assigner that `config` names from the texts, or load `config.model`."""
    if config.model:
        return load_assigner(config.model, column=config.column)
    return ASSIGNERS[config.assigner].fit(config, batches)


def load_assigner(uri: str, *, column: str | None = None) -> ConceptAssigner:
    """Load what an assigner's `save` wrote, such as `SHARDS/concept_model`.

    column: read in place of the column that the model was made from.
    """
    folder = Folder(uri)
    content = read_model(folder)
    if column is not None:
        content["column"] = column
    return ASSIGNERS[content["assigner"]].load(content, folder)
