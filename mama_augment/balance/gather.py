"""Join the texts that came with the clips with the generated ones: tables in, a `Corpus` out.

Clips and captions are dealt into buckets by the hash that orders them, and joined bucket by
bucket, so that memory holds one bucket.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mama_augment.balance.corpus import ClipTexts, Corpus, Text, read_stream, video_key
from mama_augment.concepts.column import ConceptColumn
from mama_augment.core.draws import draw_bits
from mama_augment.core.errors import InputError
from mama_augment.core.schema import GENERATED_PREFIX, SPLITS
from mama_augment.core.store.step_dir import StepDir

TEXTS_PER_BUCKET = 40_000
MAX_BUCKETS = 250
ROWS_PER_DEAL = 8_192
"""Units are small: dealt one by one, a bucket would be a heap of batches of one row."""


def gather(
    clips_dir: StepDir,
    captions_dirs: Sequence[StepDir],
    scratch: Path,
    *,
    seed: int,
    column: ConceptColumn | None = None,
) -> Corpus:
    """Join the texts that came with the clips with the generated ones; stage `joined`.

    Raises:
        InputError: the clips table has no such column, one of another type, or an unknown split.
    """
    num_rows = sum(sum(d.manifest.units.values()) for d in (clips_dir, *captions_dirs))
    num_buckets = min(MAX_BUCKETS, 1 + num_rows // TEXTS_PER_BUCKET)
    dealer = _Dealer(scratch, num_buckets, seed)
    value_type: pa.DataType = pa.null()
    given: array[int] = array("Q")
    num_clips = 0
    for table in _gathered(_clip_tables(clips_dir, column)):
        value_type = table["value"].type
        num_clips += len(table)
        with_split = table["video_uri"].filter(pc.is_valid(table["split"]))
        given.extend(map(video_key, pc.unique(with_split).to_pylist()))
        dealer.deal("clips", table)
    for number, captions_dir in enumerate(captions_dirs):
        columns = ["clip_id", "caption_index", "text", "status", "model"]
        for table in _gathered(captions_dir.tables(columns)):
            ok = table.filter(pc.equal(table["status"], "ok")).drop_columns(["status"])
            dealer.deal("captions", ok.append_column("run", pa.array([number] * len(ok))))
    dealer.close()
    given_videos = np.unique(np.frombuffer(given, np.uint64))
    corpus = Corpus(scratch, num_buckets, value_type, given_videos, num_clips)
    for bucket in range(num_buckets):
        corpus.write(
            "joined", bucket, _join(dealer.read("clips", bucket), dealer.read("captions", bucket))
        )
    return corpus


def _clip_tables(clips_dir: StepDir, column: ConceptColumn | None) -> Iterator[pa.Table]:
    wanted = ["clip_id", "video_uri", "split", "texts"]
    own = [column.name] if column is not None and column.name not in wanted else []
    for unit in clips_dir.units():
        if column is not None:
            column.check(unit.metadata().schema.to_arrow_schema(), clips_dir.folder.uri)
        table = unit.table([*wanted, *own])
        value = pa.nulls(table.num_rows) if column is None else table[column.name]
        yield table.select(wanted).append_column("value", value)


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


def _join(clip_rows: list[dict[str, Any]], caption_rows: list[dict[str, Any]]) -> list[ClipTexts]:
    """The clips of one bucket in order, each with its given texts, then the generated ones."""
    clips: dict[str, ClipTexts] = {}
    for row in clip_rows:
        clip = ClipTexts(
            order=row["order"],
            clip_id=row["clip_id"],
            video=row["video_uri"],
            split=_checked_split(row["split"], row["clip_id"]),
            value=row["value"],
            texts=[],
        )
        assert clips.setdefault(clip.clip_id, clip) is clip, f"two rows of clip {clip.clip_id}"
        for text in row["texts"]:
            _add(clip, **text)
    for row in sorted(caption_rows, key=lambda r: (r["run"], r["clip_id"], r["caption_index"])):
        # A caption of a clip that is not there still has to be accounted for.
        orphan = ClipTexts(row["order"], row["clip_id"], "", None, None, [])
        clip = clips.setdefault(row["clip_id"], orphan)
        _add(clip, text=row["text"], source=f"{GENERATED_PREFIX}{row['model']}", trusted=False)
        if not clip.video:
            clip.texts[-1].reason = "no_clip"
    return sorted(clips.values(), key=lambda clip: (clip.order, clip.clip_id))


def _add(clip: ClipTexts, text: str, source: str, trusted: bool) -> None:
    """Append a text; a copy of one that the clip already has is a duplicate."""
    index = sum(other.source == source for other in clip.texts)
    new = Text(f"{clip.clip_id}|{source}|{index}", text, source, trusted)
    if not text.strip():
        new.reason = "empty_text"
    for other in clip.texts:
        if other.reason is None and _folded(other.text) == _folded(text):
            # The trusted copy stays, whichever came first: it may serve where the other may not.
            (other if trusted and not other.trusted else new).reason = "duplicate"
    clip.texts.append(new)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _checked_split(split: str | None, clip_id: str) -> str | None:
    if split is not None and split not in SPLITS:
        raise InputError(
            f"clip {clip_id}: its split is {split!r}; allowed: {', '.join(SPLITS)}, or none"
        )
    return split
