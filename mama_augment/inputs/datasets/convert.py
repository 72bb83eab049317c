"""Published annotations, and the videos that are there, to a manifest for `keyframes`.

A text makes a row; the questions of a video make one row. Training rows get no split, so that
`balance` can draw a meta set (and a validation set, where none was published) from them; what was
published as val and test stays that.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.schema import QUESTION
from mama_augment.inputs.datasets import DATASETS
from mama_augment.inputs.datasets.base import TEST, TRAIN, VAL, DatasetReader, Item
from mama_augment.inputs.datasets.files import Annotations

TEXTS = pa.schema(
    [
        pa.field("video", pa.string()),
        pa.field("clip_id", pa.string()),
        pa.field("split", pa.string()),
        pa.field("text", pa.string()),
        pa.field("source", pa.string()),
        pa.field("trusted", pa.bool_()),
        pa.field("dataset", pa.string()),
        pa.field("provenance", pa.string()),
    ]
)
QUESTIONS = pa.schema(
    [
        pa.field("video", pa.string()),
        pa.field("clip_id", pa.string()),
        pa.field("split", pa.string()),
        pa.field("questions", pa.list_(QUESTION)),
        pa.field("dataset", pa.string()),
        pa.field("provenance", pa.list_(pa.string())),
    ]
)
STRICTNESS = {TRAIN: 0, VAL: 1, TEST: 2}
"""A video that two splits have stays in the one that must not be trained on."""
SPLITS = tuple(STRICTNESS)
NUM_REMARKS = 5


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A data set as a manifest, and what is to be said of it."""

    manifest: pa.Table
    num_videos: dict[str, int]
    """By split, of those in the manifest."""
    num_items: dict[str, int]
    """Texts or questions, by split."""
    missing: Sequence[str]
    """Videos that are not there, by their published names."""
    differences: Sequence[str] = field(default=())
    """What is not as it was published, a sentence each."""


def convert(
    name: str, annotations: str, videos: str | None = None, *, part: str | None = None
) -> Converted:
    """Read data set `name` from its folder of published files.

    videos: the folder of its videos, searched with all folders in it; None: the manifest has the
    names that the videos were published under, for `keyframes --video-root`. part: which of the
    data set's divisions, by default the usual one.

    Raises:
        InputError: an unknown name or part, a missing file, a row that is not what was published,
            no video at all.
    """
    DATASETS.check(name)
    reader = DATASETS[name]()
    part = part or reader.parts[0]
    check_choice("--part", part, reader.parts)
    files = Annotations(annotations, name)
    items = list(reader.items(files, part))
    if not items:
        raise InputError(f"{annotations}: no text and no question of {name} in it")
    differences = [*_size_differences(reader, part, items), *_remarks(files.remarks)]
    items, num_twice = _in_one_split(items)
    if num_twice:
        differences.append(
            f"{num_twice} videos stand in several splits; they stay in test, else in val"
        )
    place = _places(items, videos)
    kept = [item for item in items if item.clip_id in place]
    if not kept:
        raise InputError(
            f"VIDEOS: none of the {len({i.clip_id for i in items}):,} videos of {name} is below "
            f"{videos!r}; looked for names such as {items[0].names[0]!r}"
        )
    missing = sorted({item.names[0] for item in items if item.clip_id not in place})
    return Converted(
        manifest=_manifest(name, kept, place),
        num_videos=dict(Counter({i.clip_id: i.split for i in kept}.values())),
        num_items=dict(Counter(item.split for item in kept)),
        missing=missing,
        differences=differences,
    )


def _size_differences(reader: DatasetReader, part: str, items: Sequence[Item]) -> Iterator[str]:
    """Splits whose size is not the published one."""
    sizes = reader.sizes.get(part, {})
    for split, published in sizes.items():
        of_split = [item for item in items if item.split == split]
        if split == TRAIN and VAL not in sizes:  # where a part is held out from train
            of_split = [item for item in items if item.split in (TRAIN, VAL)]
        is_of_videos = reader.counts == "videos"
        there = len({item.clip_id for item in of_split}) if is_of_videos else len(of_split)
        if there != published:
            yield f"{split} has {there:,} {reader.counts}; {published:,} were published"


def _remarks(remarks: Sequence[str]) -> Iterator[str]:
    """The first few, and how many more there are."""
    yield from remarks[:NUM_REMARKS]
    if len(remarks) > NUM_REMARKS:
        yield f"… and {len(remarks) - NUM_REMARKS:,} more such rows"


def _in_one_split(items: Sequence[Item]) -> tuple[list[Item], int]:
    """The items of a video in its strictest split only; and how many videos had several."""
    splits: dict[str, set[str]] = defaultdict(set)
    for item in items:
        splits[item.clip_id].add(item.split)
    strictest = {clip: max(some, key=STRICTNESS.__getitem__) for clip, some in splits.items()}
    kept = [item for item in items if item.split == strictest[item.clip_id]]
    return kept, sum(len(some) > 1 for some in splits.values())


def _places(items: Sequence[Item], videos: str | None) -> dict[str, str]:
    """Path of each clip's video that is there; without a folder, its published name."""
    if videos is None:
        return {item.clip_id: item.names[0] for item in items}
    by_path, by_name, by_stem = _files_below(videos)
    found: dict[str, str] = {}
    for item in items:
        for name in item.names:
            path = by_path.get(name) or by_name.get(name) or by_stem.get(os.path.basename(name))
            if path is not None:
                found[item.clip_id] = path
                break
    return found


def _files_below(folder: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Absolute paths by path below the folder, by name and by name without suffix; of several, the
    first in order of paths."""
    if not os.path.isdir(folder):
        raise InputError(f"VIDEOS: {folder!r} is not a folder")
    by_path: dict[str, str] = {}
    by_name: dict[str, str] = {}
    by_stem: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.abspath(os.path.join(parent, name))
            by_path[os.path.relpath(path, folder)] = path
            by_name.setdefault(name, path)
            # Only the last dot begins a suffix: ids of LSMDC hold dots.
            by_stem.setdefault(os.path.splitext(name)[0], path)
    return by_path, by_name, by_stem


def _manifest(name: str, items: Sequence[Item], place: dict[str, str]) -> pa.Table:
    """One row a text, or one row a video with questions; in the order of the published files."""

    def common(item: Item) -> dict[str, Any]:
        split = None if item.split == TRAIN else item.split
        return {"video": place[item.clip_id], "clip_id": item.clip_id, "split": split}

    if items[0].question is None:
        rows = [
            {
                **common(item),
                "text": item.text,
                "source": "human",
                "trusted": True,
                "dataset": name,
                "provenance": item.where,
            }
            for item in items
        ]
        return pa.Table.from_pylist(rows, TEXTS)
    by_clip: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_clip[item.clip_id].append(item)
    rows = [
        {
            **common(some[0]),
            "questions": [
                {**asdict(item.question), "trusted": True}
                for item in some
                if item.question is not None
            ],
            "dataset": name,
            "provenance": [item.where for item in some],
        }
        for some in by_clip.values()
    ]
    return pa.Table.from_pylist(rows, QUESTIONS)
