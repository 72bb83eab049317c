"""Captions or shards as clips with their texts, one after the other."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mama_augment.core.errors import InputError
from mama_augment.core.schema import CAPTION_EXTRAS, GENERATED_PREFIX
from mama_augment.core.store.sidecars import CONCEPTS_NAME, read_sidecar
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.clips import Clips, clips_of
from mama_augment.people.export.config import ExportConfig
from mama_augment.people.export.formats.base import Example

CAPTION_COLUMNS = ("caption_index", "text", "raw_text", "status", "reason", "flags", "model")
MORE_COLUMNS = ("prompt_name", "mean_logprob")
VIDEO_FIELDS = (
    pa.field("clip_id", pa.string()),
    pa.field("video", pa.string()),
    pa.field("start_seconds", pa.float64()),
    pa.field("end_seconds", pa.float64()),
    pa.field("width_px", pa.int32()),
    pa.field("height_px", pa.int32()),
    pa.field("fps", pa.float64()),
    pa.field("split", pa.string()),
)
CAPTION_FIELDS = (
    pa.field("caption_index", pa.int32()),
    pa.field("text", pa.string()),
    pa.field("source", pa.string()),
    pa.field("status", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("raw_text", pa.string()),
    pa.field("flags", pa.list_(pa.string())),
    pa.field("prompt_name", pa.string()),
    pa.field("mean_logprob", pa.float32()),
)
SHARD_FIELDS = (
    pa.field("text", pa.string()),
    pa.field("source", pa.string()),
    pa.field("trusted", pa.bool_()),
    pa.field("concepts", pa.list_(pa.string())),
    pa.field("keep_probability", pa.float64()),
)


@dataclass(kw_only=True)
class Source:
    """A directory that is exported. `num_texts` and `left_out` count while it is read."""

    step_dir: StepDir
    config: ExportConfig
    clips: Clips | None
    extra_fields: tuple[pa.Field, ...] = ()
    text_extras: tuple[str, ...] = ()
    num_texts: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def open(cls, uri: str, config: ExportConfig) -> Source:
        """
        Raises:
            InputError: it holds no captions and no shards, the clips are not there, or an option
                does not fit what it holds.
        """
        step_dir = StepDir.open(uri)
        if step_dir.step not in ("caption", "balance"):
            raise InputError(
                f"{uri!r} holds the output of `mama-augment {step_dir.step}`; captions or shards "
                "are exported, the output of `mama-augment caption` or `mama-augment balance`"
            )
        is_shards = step_dir.step == "balance"
        if is_shards and config.status != "ok":
            raise InputError(
                f"--status is {config.status!r}, and {uri!r} holds shards, where every text is ok. "
                "`mama-augment status --list rejected` lists what left them"
            )
        dirs = clips_of(step_dir, config.clips)
        if dirs is None and (config.media_kind == "clip" or config.columns):
            what = "--media clip" if config.media_kind == "clip" else "--columns"
            raise InputError(f"{what} needs the clips of {uri!r}: give --clips DIR")
        if dirs is None and config.media_kind == "frames" and not is_shards:
            raise InputError(
                f"{uri!r} does not say which clips it was made from: give --clips DIR, the output "
                "of `mama-augment keyframes`"
            )
        clips = None if dirs is None else Clips(dirs, config.columns)
        extra = () if clips is None else tuple(clips.schema.field(n) for n in config.columns)
        return cls(
            step_dir=step_dir,
            config=config,
            clips=clips,
            extra_fields=extra,
            text_extras=_text_extras(step_dir) if is_shards else (),
        )

    @property
    def is_shards(self) -> bool:
        return self.step_dir.step == "balance"

    @property
    def clip_schema(self) -> pa.Schema:
        known = VIDEO_FIELDS if self.clips is not None or not self.is_shards else VIDEO_FIELDS[:1]
        own = [] if known != VIDEO_FIELDS[:1] else [VIDEO_FIELDS[-1]]
        return pa.schema([*known, *own, *self.extra_fields])

    @property
    def text_schema(self) -> pa.Schema:
        if self.is_shards:
            more = [f for f in CAPTION_EXTRAS if f.name in self.text_extras]
            return pa.schema([*SHARD_FIELDS, *more])
        hidden = ("raw_text",) if self.config.status == "ok" else ()
        return pa.schema([f for f in CAPTION_FIELDS if f.name not in hidden])

    def examples(self, *, with_frames: bool) -> Iterator[Example]:
        """Clips that have a text to export, in the directory's order."""
        found = self._shards(with_frames) if self.is_shards else self._captions(with_frames)
        for number, example in enumerate(found):
            example.number = number
            yield example

    def _captions(self, with_frames: bool) -> Iterator[Example]:
        names = ["clip_id", "video_uri", *CAPTION_COLUMNS, *MORE_COLUMNS]
        for table in self.step_dir.tables(names):
            rows = table.to_pylist()
            self.num_texts += len(rows)
            groups = [list(g) for _, g in itertools.groupby(rows, lambda row: row["clip_id"])]
            known = self._known([group[0]["clip_id"] for group in groups])
            for group, clip in zip(groups, known, strict=True):
                texts = [self._caption(row) for row in group if self._is_wanted(row)]
                self.left_out["other_status"] += len(group) - len(texts)
                if not texts:
                    continue
                if clip is None and with_frames:
                    self.left_out["no_clip"] += len(texts)
                    continue
                own = {"clip_id": group[0]["clip_id"], "video_uri": group[0]["video_uri"]}
                yield self._example(clip or own, texts, with_frames)

    def _is_wanted(self, row: dict[str, Any]) -> bool:
        return self.config.status in ("all", row["status"])

    def _caption(self, row: dict[str, Any]) -> dict[str, Any]:
        full = {**row, "source": f"{GENERATED_PREFIX}{row['model']}"}
        return {name: full.get(name) for name in self.text_schema.names}

    def _shards(self, with_frames: bool) -> Iterator[Example]:
        names = {c["id"]: c["name"] for c in read_sidecar(self.step_dir.folder, CONCEPTS_NAME)}
        pixels = ["frames", "frame_seconds"]
        for unit in self.step_dir.units():
            there = unit.schema().names
            if with_frames and "frames" not in there:
                raise InputError(
                    f"{self.step_dir.folder.uri!r} holds features in place of frames; export it "
                    "as jsonl, csv or parquet, or with --media none"
                )
            columns = ["clip_id", "split", "captions", *(pixels if with_frames else [])]
            for _, table in unit.row_groups(columns):
                rows = table.to_pylist()
                known = self._known([row["clip_id"] for row in rows])
                for row, clip in zip(rows, known, strict=True):
                    self.num_texts += len(row["captions"])
                    texts = [self._shard_text(caption, names) for caption in row["captions"]]
                    own = {"clip_id": row["clip_id"]}
                    example = self._example({**(clip or own), "split": row["split"]}, texts, False)
                    if with_frames:
                        example.frames, example.frame_seconds = row["frames"], row["frame_seconds"]
                    yield example

    def _shard_text(self, caption: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
        concepts = [names[i] for i in caption["concept_ids"]]
        full = {**caption, "concepts": concepts}
        return {name: full.get(name) for name in self.text_schema.names}

    def _known(self, clip_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        return [None] * len(clip_ids) if self.clips is None else self.clips.of(clip_ids)

    def _example(
        self, clip: dict[str, Any], texts: list[dict[str, Any]], with_frames: bool
    ) -> Example:
        full = {**clip, "video": clip.get("video_uri")}
        example = Example(
            number=0, clip={name: full.get(name) for name in self.clip_schema.names}, texts=texts
        )
        if with_frames and self.clips is not None:
            example.frames, example.frame_seconds = self.clips.frames(clip["clip_id"])
        return example


def _text_extras(step_dir: StepDir) -> tuple[str, ...]:
    """What of `CAPTION_EXTRAS` the texts of shards have."""
    unit = next(step_dir.units(), None)
    if unit is None:
        return ()
    told = unit.schema().field("captions").type.value_type
    return tuple(f.name for f in CAPTION_EXTRAS if f.name in {part.name for part in told})
