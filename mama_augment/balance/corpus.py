"""All texts of all clips in one seeded global order, on disk; `gather` makes it.

Memory holds one bucket, whatever the size of the corpus, and reading the buckets one after the
other is a global shuffle. Each pass of `balance` reads one stage and writes the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mama_augment.balance.source.video_splits import VideoSplits
from mama_augment.concepts.language.texts import TextBatch

QUESTION = "question"
"""The source of what stands for a question (`questions.py`)."""

_TEXT = pa.struct(
    {
        "id": pa.string(),
        "text": pa.string(),
        "source": pa.string(),
        "trusted": pa.bool_(),
        "reason": pa.string(),
        "concept_ids": pa.list_(pa.int32()),
        "keep_probability": pa.float64(),
        "agreement": pa.float32(),
    }
)


@dataclass(slots=True)
class Text:
    """One text of one clip, and what has been decided about it so far."""

    id: str
    """`clip_id|source|index`, the index counting texts of one source."""
    text: str
    source: str
    trusted: bool
    reason: str | None = None
    """Why it is not in the shards; None as long as it is to be kept."""
    concept_ids: list[int] = field(default_factory=list)
    keep_probability: float = 1.0
    agreement: float | None = None
    """With its clip, where it was scored."""

    @property
    def is_question(self) -> bool:
        """Whether it stands for a question with its answer."""
        return self.source == QUESTION


@dataclass(slots=True)
class ClipTexts:
    """A clip without its pixels. `order` is its place in the global shuffle."""

    order: int
    clip_id: str
    video: str
    split: str | None
    value: Any
    texts: list[Text]

    def kept(self) -> list[Text]:
        return [text for text in self.texts if text.reason is None]


class Corpus:
    """Buckets of clips below a scratch folder, one file per stage and bucket."""

    def __init__(
        self,
        scratch: Path,
        num_buckets: int,
        value_type: pa.DataType,
        video_splits: VideoSplits,
        num_clips: int,
    ) -> None:
        self.scratch = scratch
        self.num_buckets = num_buckets
        self.num_clips = num_clips
        self.video_splits = video_splits
        self.schema = pa.schema(
            {
                "order": pa.uint64(),
                "clip_id": pa.string(),
                "video": pa.string(),
                "split": pa.string(),
                "value": value_type,
                "texts": pa.list_(_TEXT),
            }
        )

    def clips(self, stage: str) -> Iterator[list[ClipTexts]]:
        """The buckets of a stage, in the global order."""
        for bucket in range(self.num_buckets):
            yield read_clips(self.scratch / f"{stage}-{bucket:03d}.arrow")

    def fit_batches(self) -> Iterator[TextBatch]:
        """What an assigner is fitted on: all texts, and an empty one for each clip without any.

        The empty text tells nothing, but the clip's label or vector may.
        """
        for clips in self.clips("joined"):
            pairs = [(t, c.value) for c in clips for t in [t.text for t in c.kept()] or [""]]
            yield TextBatch(texts=[t for t, _ in pairs], values=[v for _, v in pairs])

    def write(self, stage: str, bucket: int, clips: Sequence[ClipTexts]) -> None:
        writer = ClipWriter(self.scratch / f"{stage}-{bucket:03d}.arrow", self.schema)
        writer.write(clips)
        writer.close()


class ClipWriter:
    """Appends clips to an Arrow stream."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pa.ipc.new_stream(str(path), schema)

    def write(self, clips: Sequence[ClipTexts]) -> None:
        self._writer.write_table(_to_table(clips, self._schema))

    def close(self) -> None:
        self._writer.close()


def read_clips(path: Path) -> list[ClipTexts]:
    """All clips of a file that `ClipWriter` wrote, in its order."""
    # Column by column: a dict per nested row would take several times as long.
    table = read_stream(path).combine_chunks()
    lists = table["texts"].chunk(0) if table.num_rows else pa.array([], pa.list_(_TEXT))
    flat = lists.flatten()
    columns = [flat.field(i).to_pylist() for i in range(flat.type.num_fields)]
    texts = [Text(*fields) for fields in zip(*columns, strict=True)]
    bounds = lists.offsets.to_numpy()
    starts = bounds - bounds[0]
    own = (texts[a:b] for a, b in itertools.pairwise(starts))
    names = ("order", "clip_id", "video", "split", "value")
    fields = (table[name].to_pylist() for name in names)
    return [ClipTexts(*row) for row in zip(*fields, own, strict=True)]


def _to_table(clips: Sequence[ClipTexts], schema: pa.Schema) -> pa.Table:
    texts = [text for clip in clips for text in clip.texts]
    columns = [pa.array([getattr(t, f.name) for t in texts], f.type) for f in _TEXT]
    offsets = np.cumsum([0, *(len(clip.texts) for clip in clips)], dtype=np.int32)
    nested = pa.ListArray.from_arrays(
        pa.array(offsets), pa.StructArray.from_arrays(columns, fields=list(_TEXT))
    )
    own = [
        pa.array([getattr(clip, name) for clip in clips], schema.field(name).type)
        for name in ("order", "clip_id", "video", "split", "value")
    ]
    return pa.table([*own, nested], schema=schema)


def read_stream(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()
