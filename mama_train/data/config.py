"""Settings of the data: which captions of the shards are visited, in which batches."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from mama_train.checked import checked

Sources = Literal["all", "human", "generated"]
VisitKind = Literal["caption", "clip", "weighted"]
RemainderKind = Literal["carry", "drop"]
BatchKind = Literal["shuffled", "by-concept"]
FrameChoice = Literal["auto", "drawn", "even"]


@checked
class DataConfig:
    """Which captions of the shards are visited, and in which batches."""

    sources: Sources = "all"
    """Captions to train on: all of them, only those that came with the videos (human), or only
    those that a captioner wrote (generated)."""
    human_share: Annotated[float, Ge(0), Le(1)] | None = None
    """Share of human captions among the visits of an epoch, from 0 to 1; both sources must be
    there. By default, captions are taken as they come."""
    visit: VisitKind = "caption"
    """What an epoch visits once: every caption, or every clip, with one caption drawn for it, or
    each caption with its keep_probability, drawn anew for every epoch (weighted; for shards of
    `mama-augment balance --keep-as weights`)."""
    batch_size: Annotated[int, Ge(2)] = 32
    """Captions per step, over all processes together: at least 2, because a caption's negatives are
    the others in its batch."""
    remainder: RemainderKind = "carry"
    """What becomes of the visits at an epoch's end that do not fill a batch: they open the next
    epoch (carry), or are left out of this one (drop). Every batch is full."""
    batches: BatchKind = "shuffled"
    """What a batch is made of: visits as the shuffle has them, or a share of each batch with one
    concept in common, whose captions are harder to tell apart (by-concept)."""
    concept_share: Annotated[float, Gt(0), Le(1)] = 0.25
    """The share of a batch that has a concept in common, by-concept."""
    augment: Annotated[float, Ge(0), Le(0.5)] = 0.1
    """Strength of zoom, shift and brightness, from 0 (none) to 0.5."""
    frame_choice: FrameChoice = "auto"
    """Which of a clip's frames a visit sees: drawn anew, one from each of as many even stretches as
    the model takes frames (drawn), or always the same, evenly spaced ones (even). By default they
    are drawn where --augment is above 0 or shards have frames to train on (train_frames)."""
    num_workers: Annotated[int, Ge(0)] = 0
    """Decoding processes per training process. None are started where the decoded split fits into
    memory."""
    prefetch_factor: Annotated[int, Gt(0)] = 2
    """Batches that each decoding process works ahead."""
    window_clips: Annotated[int, Gt(0)] = 1024
    """Clips that are shuffled together while shards are streamed; each decoding process holds
    their JPEG files in memory."""
    cache_bytes: Annotated[int, Ge(0)] = 2 * 2**30
    """Keep a split in memory if its decoded frames are smaller than this."""

    def held_out(self, batch_size: int | None = None) -> DataConfig:
        """The same for a split that is not trained on: every caption once, frames as they are."""
        return dataclasses.replace(
            self,
            visit="caption",
            batches="shuffled",
            augment=0.0,
            frame_choice="even",
            human_share=None,
            batch_size=batch_size or self.batch_size,
        )
