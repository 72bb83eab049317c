"""Vocabularies that come with the package: actions, objects and scenes, with their parents.

A line is a concept: its name, further names, `< parent` and `# where the class is found`, all
after tabs; users' files may have the same. Words are matched as lemmas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from mama_augment.concepts.language.lemmas import BARRIER, Language
from mama_augment.core.errors import InputError

CURATED = ("actions", "objects", "scenes")


@dataclass(frozen=True)
class Entry:
    """A concept: its name, the phrases that stand for it, and what it is a kind of."""

    name: str
    phrases: tuple[str, ...]
    parent: str | None = None
    provenance: str | None = None


def read_entries(text: str, where: str) -> list[Entry]:
    """Entries of a file's text; `#` lines and blank ones are left out.

    Raises:
        InputError: one name stands on two lines.
    """
    seen: dict[str, int] = {}
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = [part.strip() for part in line.split("\t") if part.strip()]
        if not fields or line.startswith("#"):
            continue
        phrases = tuple(f for f in fields if not f.startswith(("<", "#")))
        if not phrases:
            raise InputError(f"{where}: line {number} names no concept; its name comes first")
        if (first := seen.setdefault(phrases[0], number)) != number:
            raise InputError(
                f"{where}: line {number} repeats {phrases[0]!r} of line {first}; keep one of them"
            )
        parent = next((f[1:].strip() for f in fields if f.startswith("<")), None)
        source = next((f[1:].strip() for f in fields if f.startswith("#")), None)
        entries.append(Entry(phrases[0], phrases, parent or None, source))
    return entries


@cache
def curated(name: str) -> tuple[Entry, ...]:
    """The entries of one of `CURATED`."""
    path = files("mama_augment.concepts") / "vocabularies" / f"{name}.tsv"
    return tuple(read_entries(path.read_text(encoding="utf-8"), f"vocabulary {name!r}"))


@cache
def scene_lemmas() -> frozenset[str]:
    """Single words for places."""
    named = (phrase for entry in curated("scenes") for phrase in entry.phrases)
    return frozenset(phrase for phrase in named if " " not in phrase)


@cache
def synonyms() -> dict[str, str]:
    """Further names of things, places and doings, to their first ones, both as lemmas."""
    plain = Language()
    found: dict[str, str] = {}
    for name in CURATED:
        for entry in curated(name):
            first = as_lemmas(entry.phrases[0], plain)
            for phrase in entry.phrases[1:]:
                both = entry.phrases[0] + phrase
                if first and (name != "actions" or " " not in both):
                    found.setdefault(as_lemmas(phrase, plain), first)
    return {
        phrase: name
        for phrase, name in found.items()
        if phrase and phrase != name and phrase not in _OWN_CONCEPTS
    }


@cache
def surfaces() -> dict[str, str]:
    """Phrases of several words as they are written, by their lemmas: "swim pool" is a swimming
    pool."""
    plain = Language()
    phrases = (p for name in CURATED for entry in curated(name) for p in entry.phrases)
    return {as_lemmas(p, plain): p for p in phrases if " " in p}


_OWN_CONCEPTS = frozenset(
    """
    bird parrot pigeon seagull owl duck goose chicken eagle penguin swan bull lamb toast
    basketball football volleyball baseball wheat coast sea scooter bread popcorn jeans boot heel
    skirt coat gown letter wave concert school rat hill cliff castle jungle painting candle sock
    cafeteria gorilla moth lobster pasta berry gun sword elevator gate wine champagne pork bacon
    crib shower lawn step goggle stool meat water dock pier bun jail rifle monitor toad goldfish
    desk cow calf""".split()  # noqa: SIM905
)
"""Further names that are kinds of their own: right as one class of a fixed list, too coarse where
the texts themselves decide what is told apart."""


def as_lemmas(phrase: str, language: Language) -> str:
    """A phrase as `Language.stream` shows it in a text; empty where little is left of it: one word
    among others that tell nothing would match too much."""
    stream = language.stream(phrase)
    content = [lemma for lemma in stream if lemma != BARRIER]
    return " ".join(stream) if len(content) > 1 or len(content) == len(stream) else ""
