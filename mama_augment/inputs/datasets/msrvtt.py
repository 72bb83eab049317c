"""MSR-VTT (Xu et al. 2016), retrieval: 10,000 videos with 20 captions each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import ClassVar

from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, Item
from mama_augment.inputs.datasets.files import Annotations

DATA = "MSRVTT_data.json"
TRAIN_LISTS = {
    "1k-a": "MSRVTT_train.9k.csv",
    "7k": "MSRVTT_train.7k.csv",
    "1k-b": "MSRVTT_train.1kb.csv",
}
TEST_LISTS = {"1k-b": "MSRVTT_test.1kb.csv"}
JSFUSION_TEST = "MSRVTT_JSFUSION_test.csv"


class Msrvtt:
    """The test of 1k-A and 7k has one sentence a video; `full` has all sentences of its videos."""

    name = "msrvtt"
    help = "MSR-VTT, retrieval"
    parts: ClassVar[tuple[str, ...]] = ("1k-a", "7k", "1k-b", "full")
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "1k-a": {TRAIN: 9000, TEST: 1000},
        "1k-b": {TRAIN: 6656, TEST: 1000},
        "full": {TRAIN: 6513, VAL: 497, TEST: 2990},
    }
    counts = "videos"
    note = (
        "The field `split` of MSRVTT_data.json is that of `full`, not of 1k-A. The same caption "
        "occurs with several videos; they are no negatives of each other here."
    )

    def items(self, files: Annotations, part: str) -> Iterator[Item]:
        if part == "full":
            yield from self._full(files)
            return
        captions = captions_by_video(files)
        for where, row in files.table(TRAIN_LISTS[part], "video_id"):
            video = row["video_id"]
            if video not in captions:
                files.remarks.append(f"{where}: {video} has no captions in {DATA}; left out")
            for place, text in captions.get(video, ()):
                yield item(video, text, TRAIN, place)
        for where, row in files.table(TEST_LISTS.get(part, JSFUSION_TEST), "video_id", "sentence"):
            yield item(row["video_id"], row["sentence"], TEST, where)

    def _full(self, files: Annotations) -> Iterator[Item]:
        splits = {"train": TRAIN, "validate": VAL, "val": VAL, "test": TEST}
        captions = captions_by_video(files)
        for video in files.json_of(DATA)["videos"]:
            for place, text in captions.get(video["video_id"], ()):
                yield item(video["video_id"], text, splits[video["split"]], place)


def captions_by_video(files: Annotations) -> dict[str, list[tuple[str, str]]]:
    """(Place, caption) by video id."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, sentence in enumerate(files.json_of(DATA)["sentences"]):
        place = f"{DATA} sentences[{number}]"
        found[sentence["video_id"]].append((place, sentence["caption"]))
    return found


def item(video: str, text: str, split: str, where: str) -> Item:
    names = (f"{video}.mp4", video)
    return Item(names=names, clip_id=video, split=split, where=where, text=text)
