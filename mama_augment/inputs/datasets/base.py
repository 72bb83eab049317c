"""What a reader of a published data set gives, and what it reads with.

A reader turns the published files into items: a text or a question of a video, with the split that
the publishers gave it and the place it stands at. It never looks at videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from mama_augment.inputs.datasets.files import Annotations

TRAIN, VAL, TEST = "train", "val", "test"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; see `core.schema.QUESTION`. `answer_index` counts options from 0."""

    question_id: str
    question: str
    options: tuple[str, ...] | None = None
    answer: str | None = None
    answer_index: int | None = None
    type: str | None = None
    question_group: str | None = None
    """Questions that count as right only together."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A text or a question about a video."""

    names: tuple[str, ...]
    """What the video's file may be called, the likeliest first: with a suffix, or any suffix."""
    clip_id: str
    split: str
    where: str
    """File and place that say so."""
    text: str | None = None
    question: Question | None = None


class DatasetReader(Protocol):
    """One data set; stateless."""

    name: ClassVar[str]
    help: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    """Names of its published divisions into splits, the usual one first."""
    sizes: ClassVar[Mapping[str, Mapping[str, int]]]
    """By part and split: how many texts' videos (or questions) the published files have, where
    that is known."""
    counts: ClassVar[str]
    """What `sizes` counts: "videos", "texts" or "questions"."""
    note: ClassVar[str]
    """What a user of this data set should know."""

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        """
        Raises:
            InputError: a file is missing or is not what was published, with file and row.
        """
        ...


def paragraph(sentences: list[str]) -> str:
    """Sentences joined by one blank, in the order given; other blanks are normalised, too."""
    return " ".join(" ".join(sentence.split()) for sentence in sentences if sentence.strip())
