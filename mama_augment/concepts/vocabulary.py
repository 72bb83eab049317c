"""Concepts from a list of phrases: a user's file, lists of the package, or mined from the texts.

Aho-Corasick finds all phrases in one pass over a text, whatever their number; the naive search of
MetaCLIP (one substring search per entry) takes a time proportional to the list. The phrases of a
file are matched as they stand; mined ones and the package's own as lemmas, where a text keeps its
few most specific concepts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mama_augment.concepts.base import ConceptAssigner, ConceptConfig, FittedAssigner, write_model
from mama_augment.concepts.language.curated import CURATED, Entry, as_lemmas, curated, read_entries
from mama_augment.concepts.language.lemmas import Language
from mama_augment.concepts.language.mining import implied, mine
from mama_augment.concepts.language.tagging import learn_language
from mama_augment.concepts.language.texts import TextBatch, TextBatches
from mama_augment.concepts.language.words import words
from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder, folder_and_name

PER_TEXT = 3
MIN_TEXTS_OF_LEAF = 5


@dataclass(frozen=True)
class Vocabulary(ConceptAssigner):
    """Assigns to a text the entries of which it holds a phrase."""

    name = "vocabulary"
    help = (
        "an entry of --vocabulary, or a thing, doing or place mined from the texts; a text has its "
        "--concepts-per-text most specific ones"
    )
    options = ("num_concepts", "vocabulary", "kinds", "per_text", "min_texts", "language")
    reads = None

    entries: tuple[Entry, ...]
    language: Language | None = None
    """Phrases are lemmas of it; None: they are matched word by word, as they stand."""
    per_text: int | None = None
    """A text has the rarest of its concepts, at most so many; None: all."""
    counts: tuple[int, ...] = ()
    """[concepts], texts with each when this was made: says which are the rarest."""
    implied: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """By concept, more general ones that are left out beside it."""
    _concept_ids: list[int] = field(init=False, repr=False, compare=False)
    _automaton: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        import ahocorasick_rs

        patterns: list[str] = []
        concept_ids: list[int] = []
        for concept_id, entry in enumerate(self.entries):
            for phrase in dict.fromkeys(self._phrase(p) for p in entry.phrases):
                if phrase.strip():
                    patterns.append(phrase)
                    concept_ids.append(concept_id)
        if self.entries and not patterns:
            raise InputError("the vocabulary holds no phrase; give at least one word per line")
        object.__setattr__(self, "_concept_ids", concept_ids)
        object.__setattr__(self, "_automaton", ahocorasick_rs.AhoCorasick(patterns))

    @classmethod
    def fit(cls, config: ConceptConfig, batches: TextBatches) -> Vocabulary:
        """See ConceptAssigner."""
        if not config.vocabulary:
            return mine_vocabulary(batches, config)
        names = [name.strip() for name in config.vocabulary.split(",")]
        if not set(names) & set(CURATED):
            return read_vocabulary(config.vocabulary, config.per_text)
        return curated_vocabulary(names, batches, config)

    @property
    def names(self) -> Sequence[str]:
        return [entry.name for entry in self.entries]

    def assign(self, batch: TextBatch) -> list[list[int]]:
        # Words joined and padded by single spaces: a phrase padded the same way matches exactly
        # at word boundaries, and overlapping matches may share a space.
        find, concept_ids = self._automaton.find_matches_as_indexes, self._concept_ids
        padded = self._padded
        if self.language is None and self.per_text is None:
            return [
                sorted({concept_ids[match[0]] for match in find(padded(text), overlapping=True)})
                for text in batch.texts
            ]
        return [self._specific(find(padded(text), overlapping=True)) for text in batch.texts]

    def _specific(self, matches: list[tuple[int, int, int]]) -> list[int]:
        """The concepts of a text: no phrase inside a longer one, nothing that another implies, the
        rarest first."""
        if not matches:
            return []
        ids = self._concept_ids
        if self.language is None:
            found = {ids[index] for index, _, _ in matches}
        else:
            found = {ids[i] for i, start, end in matches if not _is_inside(start, end, matches)}
            if self.implied and len(found) > 1:
                found -= {other for i in found for other in self.implied.get(i, ())}
        if self.per_text is not None and len(found) > self.per_text:
            counts = self.counts
            rank = sorted(found, key=lambda i: (counts[i] if counts else 0, i))
            found = set(rank[: self.per_text])
        return sorted(found)

    def save(self, folder: Folder) -> None:
        entries = [
            [e.name, *e.phrases, *([f"< {e.parent}"] if e.parent else [])] for e in self.entries
        ]
        language = None if self.language is None else self.language.to_json()
        content = {
            "assigner": self.name,
            "entries": entries,
            "per_text": self.per_text,
            "counts": self.counts,
            "implied": {str(i): others for i, others in self.implied.items()},
            "language": language,
        }
        write_model(folder, content)

    @classmethod
    def load(cls, content: dict[str, Any], folder: Folder) -> Vocabulary:
        """See ConceptAssigner."""
        language = content.get("language")
        return cls(
            tuple(_entry(*fields) for fields in content["entries"]),
            None if language is None else Language.from_json(language),
            content.get("per_text"),
            tuple(content.get("counts", ())),
            {int(i): tuple(others) for i, others in content.get("implied", {}).items()},
        )

    def _phrase(self, phrase: str) -> str:
        if self.language is None:
            return _joined(words(phrase))
        # A lemma of the list stands as it is: it may not be the lemma of itself.
        return _joined([as_lemmas(phrase, self.language)] if " " in phrase else [self._one(phrase)])

    def _one(self, word: str) -> str:
        assert self.language is not None
        spoken = words(word)
        lemma = as_lemmas(word, self.language)
        return lemma or (spoken[0] if spoken else "")

    def _padded(self, text: str) -> str:
        return _joined(words(text) if self.language is None else self.language.stream(text))


def read_vocabulary(path: str, per_text: int | None = None) -> Vocabulary:
    """Read a phrase file: one concept per line, its further phrases after tabs; `#` comments.

    The first phrase is the concept's name. Example line: `dog<TAB>dogs<TAB>puppy`.

    Raises:
        InputError: there is no such file, it is empty, or one name stands on two lines.
    """
    return Vocabulary(tuple(_entries_of(path)), per_text=per_text)


def curated_vocabulary(
    names: Sequence[str], batches: TextBatches, config: ConceptConfig
) -> Vocabulary:
    """Lists of the package, and files, as one; leaves that too few texts name are backed off to
    their parents.

    Raises:
        InputError: there is no such file.
    """
    entries: dict[str, Entry] = {}
    for name in names:
        for entry in curated(name) if name in CURATED else _entries_of(name):
            entries.setdefault(entry.name, entry)
    language = learn_language(batches, config.language)
    per_text = config.per_text or PER_TEXT
    fine = Vocabulary(tuple(entries.values()), language)
    counts, _ = count_together(fine, batches)
    least = MIN_TEXTS_OF_LEAF if config.min_texts is None else config.min_texts
    coarse = back_off(fine.entries, counts, least)
    return _ranked(Vocabulary(coarse, language), batches, per_text)


def back_off(
    entries: Sequence[Entry], counts: Sequence[int] | np.ndarray, least: int
) -> tuple[Entry, ...]:
    """Entries of which fewer than `least` texts are become one with their parent.

    counts: [entries], texts. An entry without a parent stays as it is.
    """
    kept = [e for e, n in zip(entries, counts, strict=True) if n >= least or e.parent is None]
    lifted: dict[str, list[str]] = {}
    for entry, count in zip(entries, counts, strict=True):
        if count < least and entry.parent is not None:
            lifted.setdefault(entry.parent, []).extend(entry.phrases)
    own = {entry.name: i for i, entry in enumerate(kept)}
    for parent, phrases in lifted.items():
        if parent in own:
            entry = kept[own[parent]]
            more = (*entry.phrases, *phrases)
            kept[own[parent]] = Entry(entry.name, more, entry.parent, entry.provenance)
        else:
            kept.append(Entry(parent, (parent, *phrases)))
    return tuple(kept)


def mine_vocabulary(batches: TextBatches, config: ConceptConfig) -> Vocabulary:
    """A vocabulary of what the texts are about (`mining`); empty where they name nothing."""
    mined = mine(batches, config.kinds, config.num_concepts, config.language, config.min_texts)
    plain = Vocabulary(mined.entries, mined.language)
    counts, _ = count_together(plain, batches)
    # A word that is nearly always part of a compound is no concept beside it.
    left = [e for e, n in zip(plain.entries, counts, strict=True) if n >= mined.min_texts]
    plain = Vocabulary(tuple(left or plain.entries), mined.language)
    return _ranked(plain, batches, config.per_text or PER_TEXT)


def _ranked(plain: Vocabulary, batches: TextBatches, per_text: int) -> Vocabulary:
    """The same with what tells the specific from the general, counted on the texts."""
    counts, together = count_together(plain, batches)
    general = implied(counts, together)
    frequency = tuple(map(int, counts))
    return Vocabulary(plain.entries, plain.language, per_text, frequency, general)


def count_together(assigner: FittedAssigner, batches: TextBatches) -> tuple[np.ndarray, np.ndarray]:
    """Texts with each concept [concepts], and with each pair of them [concepts, concepts]."""
    from scipy.sparse import csr_matrix

    num_concepts = len(assigner.names)
    together = csr_matrix((num_concepts, num_concepts), dtype=np.int64)
    for batch in batches():
        ids = Counter(map(tuple, assigner.assign(batch)))
        rows = np.repeat(np.arange(len(ids)), [len(i) for i in ids])
        columns = np.array([i for row in ids for i in row], np.int64)
        weights = np.array(list(ids.values()), np.int64)
        shape = (len(ids), num_concepts)
        has = csr_matrix((np.ones(len(rows), np.int64), (rows, columns)), shape)
        weighted = csr_matrix((weights[rows], (rows, columns)), shape)
        together = together + has.T @ weighted
    dense = np.asarray(together.todense())
    return dense.diagonal().copy(), dense


def _entries_of(path: str) -> list[Entry]:
    source, name = folder_and_name(path)
    if source.size_bytes(name) is None:
        raise InputError(
            f"--vocabulary {path!r}: no such file; give one with a phrase per line, or lists of "
            f"the package: {', '.join(CURATED)}"
        )
    entries = read_entries(source.read_bytes(name).decode("utf-8-sig"), f"--vocabulary {path!r}")
    if not entries:
        raise InputError(f"--vocabulary {path!r} holds no phrase; give one per line")
    return entries


def _entry(name: str, *fields: str) -> Entry:
    phrases = tuple(f for f in fields if not f.startswith("< "))
    parents = [f[2:] for f in fields if f.startswith("< ")]
    return Entry(name, phrases, parents[0] if parents else None)


def _is_inside(start: int, end: int, matches: Sequence[tuple[int, int, int]]) -> bool:
    return any(a <= start and end <= b and b - a > end - start for _, a, b in matches)


def _joined(parts: Sequence[str]) -> str:
    return f" {' '.join(parts)} "
