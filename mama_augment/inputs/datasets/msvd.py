"""MSVD (Chen and Dolan 2011), retrieval: about 41 sentences a video, every one a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item
from mama_augment.inputs.datasets.files import Annotations

CAPTIONS = "raw-captions.pkl"


class Msvd:
    name = "msvd"
    help = "MSVD, retrieval"
    parts: ClassVar[tuple[str, ...]] = ("sentences",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "sentences": {TRAIN: 1200, VAL: 100, TEST: 670}
    }
    counts = "videos"
    note = (
        "Every sentence of a test video is a query; numbers of papers that take one sentence a "
        "video cannot be compared. `mama-train eval --protocol published` says how many there are."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        captions = files.plain_pickle(CAPTIONS)
        for split in (TRAIN, VAL, TEST):
            name = f"{split}_list.txt"
            for number, video in enumerate(files.lines_of(name), 1):
                if video not in captions:
                    files.remarks.append(
                        f"{name} line {number}: {video} has no sentence in {CAPTIONS}; left out"
                    )
                for place, words in enumerate(captions.get(video, ())):
                    yield Item(
                        names=(f"{video}.avi", video),
                        clip_id=video,
                        split=split,
                        where=f"{CAPTIONS} {video}[{place}]",
                        text=" ".join(words),
                    )
