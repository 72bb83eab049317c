"""Arrow schemas of the tables that the steps hand to each other (docs/data-format.md).

Imports pyarrow only, so that a trainer can read shards without the pipeline's dependencies.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

SCHEMA_VERSION = 2

SPLITS = ("train", "meta", "val", "test")
HELD_OUT = ("test", "val", "meta")
"""Splits that are not trained on, in the order in which `balance` fills them."""

GENERATED_PREFIX = "generated:"
"""A text's source is this and the model's name if a captioner of this pipeline wrote it."""


def is_generated(source: str) -> bool:
    """Whether a captioner of this pipeline wrote a text; all others came with the videos."""
    return source.startswith(GENERATED_PREFIX)


TEXT = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("trusted", pa.bool_(), nullable=False),
    ]
)

CLIPS = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video_uri", pa.string(), nullable=False),
        pa.field("start_seconds", pa.float64()),
        pa.field("end_seconds", pa.float64()),
        pa.field("width_px", pa.int32()),
        pa.field("height_px", pa.int32()),
        pa.field("fps", pa.float64()),
        pa.field("transfer", pa.string()),
        pa.field("num_frames", pa.int64()),
        pa.field("strategy", pa.string()),
        pa.field("num_key_frames", pa.int32(), nullable=False),
        pa.field("frame_index", pa.list_(pa.int64()), nullable=False),
        pa.field("frame_seconds", pa.list_(pa.float64()), nullable=False),
        pa.field("frames", pa.list_(pa.binary()), nullable=False),
        pa.field("frame_hashes", pa.list_(pa.int64()), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("texts", pa.list_(TEXT), nullable=False),
        pa.field("split", pa.string()),
    ]
)
"""One row per clip. Columns of the input manifest that are not named here follow unchanged."""

QUESTION = pa.struct(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string())),
        pa.field("answer", pa.string()),
        pa.field("answer_index", pa.int32()),
        pa.field("type", pa.string()),
        pa.field("question_group", pa.string()),
        pa.field("trusted", pa.bool_()),
        pa.field("is_aligned", pa.bool_()),
    ]
)
"""trusted: whether its answer may serve as meta, val or test; is_aligned: in a made world, whether
the answer is the right one. Null: nobody said."""

REGIONS = pa.struct(
    [
        pa.field("extractor", pa.string()),
        pa.field("width_px", pa.int32()),
        pa.field("height_px", pa.int32()),
        pa.field("num_clips", pa.int32()),
        pa.field("num_frames", pa.int32()),
        pa.field("num_regions", pa.int32()),
        pa.field("boxes", pa.list_(pa.float32())),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("is_region", pa.list_(pa.bool_())),
        pa.field("vectors", pa.list_(pa.float16())),
        pa.field("frame_vectors", pa.list_(pa.float16())),
    ]
)
"""Regions of C clips of F frames with R regions each: boxes x1, y1, x2, y2 in shares of a frame of
width_px x height_px, and vectors, each as one list, clip by clip, frame by frame."""

CLIP_EXTRAS = pa.schema(
    [
        pa.field("train_frame_seconds", pa.list_(pa.float64())),
        pa.field("train_frames", pa.list_(pa.binary())),
        pa.field("questions", pa.list_(QUESTION)),
    ]
)
"""Columns that a clips table may have besides, and shards then have, too: a second, evenly spaced
list of frames to train on, and questions about the clip. Null where a clip has none."""

VIDEO_KEY = pa.field("video_key", pa.uint64())
"""Shards have it where clips share videos: 64 bits in place of the video's URI."""

REGIONS_COLUMN = pa.field("regions", REGIONS)
"""Shards may have it, of `mama-augment regions`; null where a clip has none."""

CAPTIONS = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video_uri", pa.string()),
        pa.field("caption_index", pa.int32(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("raw_text", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("flags", pa.list_(pa.string())),
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_revision", pa.string(), nullable=False),
        pa.field("prompt_name", pa.string(), nullable=False),
        pa.field("input", pa.string()),
        pa.field("grid_rows", pa.int32()),
        pa.field("grid_columns", pa.int32()),
        pa.field("sampling", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("num_prompt_tokens", pa.int32()),
        pa.field("num_output_tokens", pa.int32()),
        pa.field("finish_reason", pa.string()),
        pa.field("mean_logprob", pa.float32()),
        pa.field("caption_key", pa.string(), nullable=False),
    ]
)
"""One row per generated caption; `status` is ok or rejected, and a rejected one says why."""

REVIEWS = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video_uri", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("caption_index", pa.int32()),
        pa.field("raw_text", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("concept", pa.string()),
        pa.field("seconds", pa.float64()),
        pa.field("reviewed_at", pa.string(), nullable=False),
    ]
)
"""One row per text that a person has judged. `raw_text` is what stood there, `text` what is to
stand there (null: rejected); `split` is the one that the clip shall serve in (null: any)."""

VERDICTS = ("accepted", "edited", "rejected")


def features_of(width: int) -> pa.Schema:
    """One row per clip: unit vectors of `width` numbers (float16) of its key frames and of it."""
    vector = pa.list_(pa.float16(), width)
    return pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("frame_seconds", pa.list_(pa.float64()), nullable=False),
            pa.field("frame_vectors", pa.list_(vector), nullable=False),
            pa.field("vector", vector, nullable=False),
        ]
    )


SCORES = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("caption_index", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("agreement", pa.float32(), nullable=False),
        pa.field("consistency", pa.float32()),
    ]
)
"""One row per text: the cosine of its vector and its clip's; and the mean cosine with the other
captions that the same model wrote for the clip (null: there is none)."""

CAPTION = pa.struct(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("trusted", pa.bool_(), nullable=False),
        pa.field("concept_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("keep_probability", pa.float64(), nullable=False),
    ]
)

CAPTION_EXTRAS = pa.struct(
    [
        pa.field("agreement", pa.float32()),
        pa.field("is_aligned", pa.bool_(), nullable=False),
    ]
)
"""What a caption may have besides: how well it agrees with its clip, as a scoring model sees it
(null: not scored); and, in a made world, whether it is of its clip."""

SHARDS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("frames", pa.list_(pa.binary()), nullable=False),
        pa.field("frame_seconds", pa.list_(pa.float64()), nullable=False),
        pa.field("captions", pa.list_(CAPTION), nullable=False),
    ]
)
"""One row per clip with a kept caption or question; one folder per split. What of `CLIP_EXTRAS` the
clips have stands before the captions."""


def frame_shards() -> pa.Schema:
    """Shards of a made world: whether each caption is of its clip is known."""
    return SHARDS.set(SHARDS.get_field_index("captions"), captions_field(["is_aligned"]))


def captions_field(extras: Collection[str] = ()) -> pa.Field:
    """The column of captions, with some of `CAPTION_EXTRAS`."""
    return pa.field("captions", pa.list_(_caption(extras)), nullable=False)


def feature_shards(width: int) -> pa.Schema:
    """The same with a vector of `width` numbers per frame, or one per clip, in place of frames."""
    vector = pa.list_(pa.float32(), width)
    return pa.schema(
        [
            SHARDS.field("split"),
            SHARDS.field("clip_id"),
            pa.field("features", pa.list_(vector), nullable=False),
            frame_shards().field("captions"),
        ]
    )


def shards_like(schema: pa.Schema) -> pa.Schema:
    """The kind of shards that a table's columns are nearest to."""
    names = set(schema.names)
    told = (
        getattr(getattr(schema.field("captions"), "type", None), "value_type", None)
        if ("captions" in names)
        else None
    )
    extras = [field.name for field in told] if told is not None and pa.types.is_struct(told) else []
    fields = [SHARDS.field("split"), SHARDS.field("clip_id")]
    fields += [VIDEO_KEY] if VIDEO_KEY.name in names else []
    if "features" not in names or "frames" in names:
        fields += [SHARDS.field("frames"), SHARDS.field("frame_seconds")]
    fields += [field for field in (*CLIP_EXTRAS, REGIONS_COLUMN) if field.name in names]
    if "features" in names:
        vector = getattr(schema.field("features").type, "value_type", None)
        fields.append(feature_shards(getattr(vector, "list_size", 1)).field("features"))
    fields.append(captions_field(extras))
    return pa.schema(fields)


def _caption(extras: Collection[str]) -> pa.StructType:
    """A caption with some of what it may have besides."""
    return pa.struct([*CAPTION, *(field for field in CAPTION_EXTRAS if field.name in extras)])


PLAN = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("num_captions", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""A plan of captions: one row per clip of the clips table, sorted by clip_id;
0 captions where none is planned."""

REJECTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
    ]
)
"""One row per item that left the flow: `rejected` for good, or `failed` and worth a retry."""
