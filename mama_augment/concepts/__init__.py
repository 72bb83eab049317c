"""What captions are about: `fit_assigner` makes a concept assigner, `load_assigner` reuses one."""

from __future__ import annotations

from mama_augment.concepts.base import (
    ConceptAssigner,
    ConceptConfig,
    TextBatch,
    TextBatches,
    read_model,
)
from mama_augment.core.store.files import Folder

__all__ = ["ConceptAssigner", "ConceptConfig", "TextBatch", "fit_assigner", "load_assigner"]


def fit_assigner(config: ConceptConfig, batches: TextBatches) -> ConceptAssigner:
    """Make the assigner that `config` names from the texts, or load `config.model`."""
    if config.model:
        return load_assigner(config.model, column=config.column)
    if config.assigner == "vocabulary":
        from mama_augment.concepts.mining import mine_vocabulary
        from mama_augment.concepts.vocabulary import read_vocabulary

        if config.vocabulary:
            return read_vocabulary(config.vocabulary)
        return mine_vocabulary(batches, config.num_concepts)
    if config.assigner == "given":
        from mama_augment.concepts.given import fit_given

        return fit_given(batches, config.column)
    if config.assigner == "embedding":
        from mama_augment.concepts.embedding import fit_clusters

        return fit_clusters(batches, config.num_concepts, seed=config.seed, column=config.column)
    from mama_augment.concepts.topics import fit_topics

    return fit_topics(batches, config.num_concepts, seed=config.seed)


def load_assigner(uri: str, *, column: str | None = None) -> ConceptAssigner:
    """Load what an assigner's `save` wrote, such as `SHARDS/concept_model`.

    column: read in place of the column that the model was made from.
    """
    from mama_augment.concepts.embedding import Clusters
    from mama_augment.concepts.given import Given
    from mama_augment.concepts.topics import Topics
    from mama_augment.concepts.vocabulary import Vocabulary

    folder = Folder(uri)
    content = read_model(folder)
    if column is not None:
        content["column"] = column
    if content["assigner"] == "topics":
        return Topics.load(content, folder)
    if content["assigner"] == "embedding":
        return Clusters.load(content, folder)
    return (Vocabulary if content["assigner"] == "vocabulary" else Given).load(content)
