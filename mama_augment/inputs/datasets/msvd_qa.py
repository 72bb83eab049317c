"""MSVD-QA (Xu et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item
from mama_augment.inputs.datasets.files import Annotations
from mama_augment.inputs.datasets.open_qa import open_questions

MAPPING = "youtube_mapping.txt"


class MsvdQa:
    """A video is called by its number (vid12) or, by the mapping, as in MSVD."""

    name = "msvd-qa"
    help = "MSVD-QA, open questions"
    parts: ClassVar[tuple[str, ...]] = ("open",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "open": {TRAIN: 30933, VAL: 6415, TEST: 13157}
    }
    counts = "questions"
    note = (
        "Its splits are not those of MSVD's retrieval. An answer outside of the training "
        "vocabulary is wrong, it is not left out."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        called: dict[str, str] = {}
        if files.has(MAPPING):
            called = {line.split()[1]: line.split()[0] for line in files.lines_of(MAPPING)}

        def names(number: int) -> tuple[str, ...]:
            own = f"vid{number}"
            return (f"{own}.avi", *([called[own]] if own in called else []), own)

        yield from open_questions(files, self.name, names)
