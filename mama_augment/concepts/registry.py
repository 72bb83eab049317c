"""The concept assigners by name: one file each, and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mama_augment.core.registry import Registry

if TYPE_CHECKING:
    from mama_augment.concepts.base import ConceptAssigner

ASSIGNERS: Registry[type[ConceptAssigner]] = Registry(
    "--concepts",
    {
        "topics": "mama_augment.concepts.topics:Topics",
        "vocabulary": "mama_augment.concepts.vocabulary:Vocabulary",
        "embedding": "mama_augment.concepts.embedding:Clusters",
        "given": "mama_augment.concepts.given:Given",
    },
)
