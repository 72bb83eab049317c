"""MSRVTT-QA (Xu et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item
from mama_augment.inputs.datasets.files import Annotations
from mama_augment.inputs.datasets.open_qa import open_questions


class MsrvttQa:
    name = "msrvtt-qa"
    help = "MSRVTT-QA, open questions"
    parts: ClassVar[tuple[str, ...]] = ("open",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "open": {TRAIN: 158581, VAL: 12278, TEST: 72821}
    }
    counts = "questions"
    note = (
        "Its splits are those of MSR-VTT `full`: a retrieval model that was trained on 9k has "
        "seen 2,000 of its test videos."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        yield from open_questions(files, self.name, lambda n: (f"video{n}.mp4", f"video{n}"))
