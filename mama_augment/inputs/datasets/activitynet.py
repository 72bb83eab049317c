"""ActivityNet Captions (Krishna et al. 2017), paragraph retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item, paragraph
from mama_augment.inputs.datasets.files import Annotations

PREFIX = "v_"
FILES = {TRAIN: "train.json", TEST: "val_1.json", VAL: "val_2.json"}


class ActivityNet:
    """`val_1` is the usual test set; the same videos stand in `val_2` with other sentences."""

    name = "activitynet"
    help = "ActivityNet Captions, paragraph retrieval"
    parts: ClassVar[tuple[str, ...]] = ("paragraphs",)
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {"paragraphs": {TRAIN: 10009, TEST: 4917}}
    counts = "videos"
    note = (
        "val_1 is the test set, as papers use it. Many videos are gone from YouTube, so numbers of "
        "papers are of different sizes: report how many videos yours has."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        for split, name in FILES.items():
            if split == VAL:
                continue  # the videos of val_1 again
            for video, row in files.json_of(name).items():
                youtube_id = video.removeprefix(PREFIX)
                yield Item(
                    names=(video, youtube_id),
                    clip_id=video,
                    split=split,
                    where=f"{name} {video}",
                    text=paragraph(row["sentences"]),
                )
