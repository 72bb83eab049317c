"""What an assigner says of texts, as a list for people; and the file in which they change it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mama_augment.concepts.base import FittedAssigner
from mama_augment.concepts.language.texts import TextBatch
from mama_augment.core.store.files import output_file


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Concepts, and which texts have them."""

    names: Sequence[str]
    counts: npt.NDArray[np.int64]
    examples: Mapping[int, str]
    """By concept: the shortest text that has it."""
    ids: Sequence[Sequence[int]]
    """Of each text."""

    @property
    def order(self) -> list[int]:
        """The most frequent first; those without a text are left out."""
        found = sorted(range(len(self.names)), key=lambda i: (-int(self.counts[i]), i))
        return [i for i in found if self.counts[i]]


def list_concepts(assigner: FittedAssigner, texts: Sequence[str]) -> Listed:
    """Count texts, and find an example, for every concept."""
    ids = assigner.assign(TextBatch(texts=texts, values=[None] * len(texts)))
    counts = np.zeros(len(assigner.names), np.int64)
    examples: dict[int, str] = {}
    for text, own in zip(texts, ids, strict=True):
        counts[own] += 1
        for i in own:
            if i not in examples or len(text) < len(examples[i]):
                examples[i] = text
    return Listed(names=assigner.names, counts=counts, examples=examples, ids=ids)


def write_edits(out: str, listed: Listed) -> None:
    """A TOML file without any edit, in which all concepts stand as comments."""
    lines = [
        "# Edits of concepts, for `mama-augment balance --concept-edits` and `plan`.",
        "# strike: no concept any more. merge: the others count as the first. rename: after that.",
        "strike = []",
        "",
        "[merge]",
        '# "dog" = ["puppy", "hound"]',
        "",
        "[rename]",
        '# "pet" = "animal"',
        "",
        "# Concepts and their texts:",
    ]
    lines += [
        f"#   {json.dumps(listed.names[i], ensure_ascii=False)}  {listed.counts[i]}"
        for i in listed.order
    ]
    folder, name = output_file(out)
    folder.write_bytes(name, ("\n".join(lines) + "\n").encode())
