"""Join the texts that came with the clips with the generated ones: tables in, a `Corpus` out.

Clips and captions are dealt into buckets by the hash that orders them, and joined bucket by
bucket, so that memory holds one bucket.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.balance.corpus import ClipTexts, Corpus, Text, read_stream
from mama_augment.balance.questions import COLUMN, question_text
from mama_augment.balance.source.beside import Beside
from mama_augment.balance.source.clips import ClipReader
from mama_augment.balance.source.frames import Frames
from mama_augment.balance.source.inputs import Inputs
from mama_augment.balance.source.reviews import Reviews
from mama_augment.balance.source.video_splits import VideoSplits
from mama_augment.concepts.column import ConceptColumn
from mama_augment.core.draws import draw_bits
from mama_augment.core.errors import InputError
from mama_augment.core.schema import GENERATED_PREFIX, SPLITS

TEXTS_PER_BUCKET = 40_000
MAX_BUCKETS = 250
ROWS_PER_DEAL = 8_192
"""Units are small: dealt one by one, a bucket would be a heap of batches of one row."""


def gather(
    inputs: Inputs,
    scratch: Path,
    *,
    seed: int,
    column: ConceptColumn | None = None,
    frames: Frames | None = None,
    beside: Beside | None = None,
) -> Corpus:
    """Join the texts that came with the clips with the generated ones; stage `joined`.

    frames: where pixels go, which are read on the way.

    Raises:
        InputError: the clips table has no such column, one of another type, or an unknown split;
            or a clip is in two directories.
    """
    beside = beside or Beside()
    num_buckets = min(MAX_BUCKETS, 1 + inputs.num_rows // TEXTS_PER_BUCKET)
    dealer = _Dealer(scratch, num_buckets, seed)
    _deal_captions(dealer, inputs, beside.reviews)
    reader = ClipReader(clips=inputs.clips, column=column, frames=frames)
    value_type: pa.DataType = pa.null()
    video_splits = VideoSplits(earlier=beside.earlier)
    num_clips = 0
    for table in _gathered(reader.tables()):
        value_type = table["value"].type
        num_clips += len(table)
        if beside.reviews is not None:
            table = beside.reviews.with_splits(table, beside.earlier)
        video_splits.add(table)
        dealer.deal("clips", table)
    video_splits.close()
    if frames is not None:
        frames.close()
    dealer.close()
    corpus = Corpus(scratch, num_buckets, value_type, video_splits, num_clips)
    uris = [step_dir.folder.uri for step_dir in inputs.clips.dirs]
    for bucket in range(num_buckets):
        clips = _Clips(uris, beside)
        clips.add_rows(dealer.read("clips", bucket))
        clips.add_captions(dealer.read("captions", bucket))
        corpus.write("joined", bucket, clips.in_order())
    return corpus


def _deal_captions(dealer: _Dealer, inputs: Inputs, reviews: Reviews | None) -> None:
    """Before the clips: whose reviewed text is gone is not to be held out."""
    for number, captions_dir in enumerate(inputs.captions):
        columns = ["clip_id", "caption_index", "text", "status", "model"]
        for table in _gathered(captions_dir.tables(columns)):
            ok = table.filter(pc.equal(table["status"], "ok")).drop_columns(["status"])
            if reviews is not None:
                reviews.see(ok)
            dealer.deal("captions", ok.append_column("run", pa.array([number] * len(ok))))


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables."""
    some: list[pa.Table] = []
    num_rows = 0
    for table in tables:
        some.append(table)
        num_rows += len(table)
        if num_rows >= ROWS_PER_DEAL:
            yield pa.concat_tables(some).combine_chunks()
            some, num_rows = [], 0
    if some:
        yield pa.concat_tables(some).combine_chunks()


class _Dealer:
    """Deals rows into bucket files by the hash of their clip_id."""

    def __init__(self, scratch: Path, num_buckets: int, seed: int) -> None:
        self.scratch, self.num_buckets, self.seed = scratch, num_buckets, seed
        self._writers: dict[tuple[str, int], pa.RecordBatchStreamWriter] = {}

    def deal(self, kind: str, table: pa.Table) -> None:
        orders = [draw_bits(self.seed, "order", i) for i in table["clip_id"].to_pylist()]
        table = table.append_column("order", pa.array(orders, pa.uint64()))
        buckets = pa.array([order * self.num_buckets >> 64 for order in orders])
        for bucket in sorted(set(buckets.to_pylist())):
            key = (kind, bucket)
            if key not in self._writers:
                self._writers[key] = pa.ipc.new_stream(str(self._path(*key)), table.schema)
            self._writers[key].write_table(table.filter(pc.equal(buckets, bucket)))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def read(self, kind: str, bucket: int) -> list[dict[str, Any]]:
        path = self._path(kind, bucket)
        if not path.exists():
            return []
        rows: list[dict[str, Any]] = read_stream(path).to_pylist()
        os.unlink(path)
        return rows

    def _path(self, kind: str, bucket: int) -> Path:
        return self.scratch / f"{kind}-{bucket:03d}.arrow"


class _Clips:
    """The clips of one bucket, each with its given texts, then the generated ones."""

    def __init__(self, uris: Sequence[str], beside: Beside) -> None:
        self._uris = uris
        self._reviews, self._scores = beside.reviews, beside.scores
        self._clips: dict[str, ClipTexts] = {}

    def add_rows(self, rows: list[dict[str, Any]]) -> None:
        places: dict[str, int] = {}
        for row in rows:
            clip_id = row["clip_id"]
            place = places.setdefault(clip_id, row["directory"])
            if place != row["directory"]:
                raise InputError(
                    f"clip {clip_id} is in {self._uris[place]!r} and in "
                    f"{self._uris[row['directory']]!r}. Give each clip once; clips of different "
                    "videos that have one relative path need ids of their own (`clip_id` in the "
                    "input manifest of keyframes)"
                )
            assert clip_id not in self._clips, f"two rows of clip {clip_id}"
            self._clips[clip_id] = clip = ClipTexts(
                order=row["order"],
                clip_id=clip_id,
                video=row["video_uri"],
                split=_checked_split(row["split"], clip_id),
                value=row["value"],
                texts=[],
            )
            for text in row["texts"]:
                self._add(clip, **text)
            clip.texts += [question_text(clip_id, each) for each in row[COLUMN] or ()]

    def add_captions(self, rows: list[dict[str, Any]]) -> None:
        for row in sorted(rows, key=lambda r: (r["run"], r["clip_id"], r["caption_index"])):
            # A caption of a clip that is not there still has to be accounted for.
            orphan = ClipTexts(row["order"], row["clip_id"], "", None, None, [])
            clip = self._clips.setdefault(row["clip_id"], orphan)
            source = f"{GENERATED_PREFIX}{row['model']}"
            self._add(clip, text=row["text"], source=source, trusted=False)
            if not clip.video:
                clip.texts[-1].reason = "no_clip"

    def _add(self, clip: ClipTexts, text: str, source: str, trusted: bool) -> None:
        index = sum(other.source == source for other in clip.texts)
        new = Text(f"{clip.clip_id}|{source}|{index}", text, source, trusted)
        if self._reviews is not None:
            self._reviews.judge(clip.clip_id, new)
        if self._scores is not None:
            self._scores.note(clip.clip_id, new)
        _append(clip, new)

    def in_order(self) -> list[ClipTexts]:
        """All is added."""
        if self._scores is not None:
            for clip in self._clips.values():
                self._scores.judge(clip.texts)
        return sorted(self._clips.values(), key=lambda clip: (clip.order, clip.clip_id))


def _append(clip: ClipTexts, new: Text) -> None:
    """Append a text; a copy of one that the clip already has is a duplicate."""
    if new.reason is None and not new.text.strip():
        new.reason = "empty_text"
    for other in clip.texts:
        is_copy = other.reason is None and _folded(other.text) == _folded(new.text)
        if is_copy and new.reason != "review_rejected":
            # The trusted copy stays, whichever came first: it may serve where the other may not.
            (other if new.trusted and not other.trusted else new).reason = "duplicate"
    clip.texts.append(new)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _checked_split(split: str | None, clip_id: str) -> str | None:
    if split is not None and split not in SPLITS:
        raise InputError(
            f"clip {clip_id}: its split is {split!r}; allowed: {', '.join(SPLITS)}, or none"
        )
    return split
