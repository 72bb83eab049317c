"""DiDeMo (Hendricks et al. 2017), paragraph retrieval: a video's descriptions in file order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item, paragraph
from mama_augment.inputs.datasets.files import Annotations


class Didemo:
    name = "didemo"
    help = "DiDeMo, paragraph retrieval"
    parts: ClassVar[tuple[str, ...]] = ("paragraphs",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "paragraphs": {TRAIN: 8392, VAL: 1065, TEST: 1004}
    }
    counts = "videos"
    note = (
        "Videos longer than 30 s were cut to 30 s when they were annotated; longer files show "
        "more than the paragraph says."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        for split in (TRAIN, VAL, TEST):
            listed = set(files.lines_of(f"{split}_list.txt"))
            name = f"{split}_data.json"
            sentences: dict[str, list[str]] = {}
            first: dict[str, int] = {}
            for number, row in enumerate(files.json_of(name)):
                if row["video"] in listed:
                    sentences.setdefault(row["video"], []).append(row["description"])
                    first.setdefault(row["video"], number)
            for video, said in sentences.items():
                yield Item(
                    # Copies come with other suffixes than the names that were published.
                    names=(video, PurePosixPath(video).stem),
                    clip_id=video,
                    split=split,
                    where=f"{name} [{first[video]}] and {len(said) - 1} more",
                    text=paragraph(said),
                )
