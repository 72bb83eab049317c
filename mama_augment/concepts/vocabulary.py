"""Concepts from a list of phrases: whole words, case-folded, each entry once per text.

Aho-Corasick finds all phrases in one pass over a text, whatever their number; the naive search of
MetaCLIP (one substring search per entry) takes a time proportional to the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mama_augment.concepts.base import (
    ConceptAssigner,
    ConceptConfig,
    TextBatch,
    TextBatches,
    write_model,
)
from mama_augment.concepts.mining import mine_phrases
from mama_augment.concepts.words import words
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, folder_and_name


@dataclass(frozen=True)
class Entry:
    """A concept: its name and the phrases that stand for it."""

    name: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary(ConceptAssigner):
    """Assigns to a text every entry of which it holds a phrase, as whole words."""

    name = "vocabulary"
    help = "an entry of --vocabulary FILE, or a mined phrase; a text has all that it holds"
    options = ("num_concepts", "vocabulary")
    reads = None

    entries: tuple[Entry, ...]
    _concept_ids: list[int] = field(init=False, repr=False, compare=False)
    _automaton: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        import ahocorasick_rs

        patterns: list[str] = []
        concept_ids: list[int] = []
        for concept_id, entry in enumerate(self.entries):
            for phrase in dict.fromkeys(_padded(p) for p in entry.phrases):
                if phrase.strip():
                    patterns.append(phrase)
                    concept_ids.append(concept_id)
        if not patterns:
            raise InputError("the vocabulary holds no phrase; give at least one word per line")
        object.__setattr__(self, "_concept_ids", concept_ids)
        object.__setattr__(self, "_automaton", ahocorasick_rs.AhoCorasick(patterns))

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Vocabulary:
        """See ConceptAssigner."""
        if config.vocabulary:
            return read_vocabulary(config.vocabulary)
        return mine_vocabulary(batches, config.num_concepts)

    @property
    def names(self) -> Sequence[str]:
        return [entry.name for entry in self.entries]

    def assign(self, batch: TextBatch) -> list[list[int]]:
        # Words joined and padded by single spaces: a phrase padded the same way matches exactly
        # at word boundaries, and overlapping matches may share a space.
        find, concept_ids = self._automaton.find_matches_as_indexes, self._concept_ids
        return [
            sorted({concept_ids[match[0]] for match in find(_padded(text), overlapping=True)})
            for text in batch.texts
        ]

    def save(self, folder: Folder) -> None:
        entries = [[entry.name, *entry.phrases] for entry in self.entries]
        write_model(folder, {"assigner": self.name, "entries": entries})

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Vocabulary:
        """See ConceptAssigner."""
        return cls(tuple(Entry(name, tuple(phrases)) for name, *phrases in content["entries"]))


def read_vocabulary(path: str) -> Vocabulary:
    """Read a phrase file: one concept per line, its further phrases after tabs; `#` comments.

    The first phrase is the concept's name. Example line: `dog<TAB>dogs<TAB>puppy`.

    Raises:
        InputError: there is no such file, it is empty, or one name stands on two lines.
    """
    source, name = folder_and_name(path)
    if source.size_bytes(name) is None:
        raise InputError(f"--vocabulary {path!r}: no such file; give one phrase per line")
    seen: dict[str, int] = {}
    entries = []
    for number, line in enumerate(source.read_bytes(name).decode().splitlines(), 1):
        phrases = tuple(p.strip() for p in line.split("\t") if p.strip())
        if not phrases or line.startswith("#"):
            continue
        if (first := seen.setdefault(phrases[0], number)) != number:
            raise InputError(
                f"--vocabulary {path!r}: line {number} repeats {phrases[0]!r} of line {first}; "
                "keep one of them"
            )
        entries.append(Entry(phrases[0], phrases))
    if not entries:
        raise InputError(f"--vocabulary {path!r} holds no phrase; give one per line")
    return Vocabulary(tuple(entries))


def mine_vocabulary(batches: TextBatches, num_phrases: int | None = None) -> Vocabulary:
    """A vocabulary of the texts' own frequent phrases (`mine_phrases`), each a concept.

    Raises:
        InputError: no text holds a usable word.
    """
    mined = mine_phrases(batches, num_phrases)
    if not mined:
        raise InputError(
            "no phrase could be mined: the texts hold nothing but stop words. Give phrases with "
            "--vocabulary FILE"
        )
    return Vocabulary(tuple(Entry(phrase, (phrase,)) for phrase in mined))


def _padded(text: str) -> str:
    return f" {' '.join(words(text))} "
