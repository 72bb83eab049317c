"""What captions are about: `fit_assigner` makes a concept assigner, `load_assigner` reuses one."""

from __future__ import annotations

from mama_augment.concepts.base import ConceptAssigner, ConceptConfig, FittedAssigner, read_model
from mama_augment.concepts.edits import KEY as EDITS
from mama_augment.concepts.edits import Edits, edited, read_edits
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.concepts.registry import ASSIGNERS
from mama_augment.core.store.files import Folder

__all__ = [
    "ASSIGNERS",
    "ConceptAssigner",
    "ConceptConfig",
    "FittedAssigner",
    "TextBatch",
    "fit_assigner",
    "load_assigner",
]


def fit_assigner(config: ConceptConfig, batches: TextBatches) -> FittedAssigner:
    """Make the assigner that `config` names from the texts, or load `config.model`; with its edits.

    Raises:
        InputError: nothing can be made of the texts, or an edit names no concept.
    """
    edits = None if config.edits is None else read_edits(config.edits)
    if config.model:
        found: FittedAssigner = load_assigner(config.model, column=config.column)
    else:
        found = ASSIGNERS[config.assigner].fit(config, batches)
    return found if edits is None else edited(found, edits)


def load_assigner(uri: str, *, column: str | None = None) -> FittedAssigner:
    """Load what an assigner's `save` wrote, such as `SHARDS/concept_model`.

    column: read in place of the column that the model was made from.
    """
    folder = Folder(uri)
    content = read_model(folder)
    if column is not None:
        content["column"] = column
    found: FittedAssigner = ASSIGNERS[content["assigner"]].load(content, folder)
    return edited(found, Edits.from_json(content[EDITS])) if EDITS in content else found
