"""From a row of the clips table to what is asked of the engine; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mama_augment.budget.plan_file import PlannedCaptions
from mama_augment.caption.engines.base import CaptionRequest, ChatConfig, SamplingConfig
from mama_augment.caption.identity import caption_key, draw_seed, frames_digest
from mama_augment.caption.input.layout import AUTO, GridLayout, PictureSize
from mama_augment.caption.input.present import show
from mama_augment.caption.input.prompts import Prompt, PromptRowError
from mama_augment.caption.input.rendering import render
from mama_augment.caption.input.shown import Shown
from mama_augment.caption.judge.config import JudgeConfig
from mama_augment.caption.known import Known
from mama_augment.core.schema import HELD_OUT
from mama_augment.core.shared.jpeg import BrokenFrameError


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Everything that decides what a caption says; part of the step's config."""

    model: str
    model_revision: str
    size: PictureSize
    """Of a grid."""
    prompt: Prompt
    input: str = "grid"
    grid: GridLayout | None = None
    """None: for each clip the one that suits its frames."""
    chat: ChatConfig = field(default_factory=ChatConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    judging: JudgeConfig = field(default_factory=JudgeConfig)
    """What becomes of what was said; no part of a caption's key."""
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    """Those of the engine's arguments that may change what it says."""
    trust_remote_code: bool = False
    num_captions: int = 1
    plan: PlannedCaptions | None = None
    """How many captions each clip gets, in place of `num_captions` for all."""
    every_split: bool = False
    """Caption meta, val and test clips too; `balance` takes no generated text for those."""
    skip_flags: tuple[str, ...] = ()
    """Flags of clips that get no caption."""
    seed: int = 0

    def num_captions_of(
        self, clip_id: str, split: str | None, flags: Sequence[str] | None = None
    ) -> int:
        """How many captions a clip gets; 0 where `why_none` has a reason."""
        if self.why_none(clip_id, split, flags) is not None:
            return 0
        return self.num_captions if self.plan is None else self.plan.counts[clip_id]

    def why_none(
        self, clip_id: str, split: str | None, flags: Sequence[str] | None = None
    ) -> str | None:
        """Why a clip gets no caption: the plan asks for none or does not name it, its given split
        is reserved for trusted texts, or it has a flag that is skipped."""
        if self.plan is not None and not self.plan.counts.get(clip_id, 0):
            return "not_planned"
        if split in HELD_OUT and not self.every_split:
            return "split_reserved"
        return "flagged" if set(self.skip_flags).intersection(flags or ()) else None

    def key_fields(self) -> dict[str, Any]:
        """What `caption_key` mixes with the frames, the prompt and the caption's index.

        What was not asked for is absent, so that keys outlive new options.
        """
        found: dict[str, Any] = {"model_revision": self.model_revision, "seed": self.seed}
        if self.input == "grid":
            found["grid"] = AUTO if self.grid is None else str(self.grid)
            found["size_px"] = [self.size.width_px, self.size.height_px]
            if self.size.step_px is not None:
                found["step_px"] = self.size.step_px
        else:
            found["input"] = self.input
        if self.engine_args:
            found["engine_args"] = dict(self.engine_args)
        return found | self.chat.fields() | self.sampling.fields()


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A row of the clips table, on its way to the engine."""

    unit_id: str
    position: int
    clip_id: str
    num_captions: int
    frames: list[bytes]
    seconds: list[float]
    """Of each frame, from the clip's beginning; none where the model is not told."""
    video_uri: str
    columns: Mapping[str, Any]
    known: Known


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a clip asks of the engine, and what is settled without it."""

    clip: ClipRow
    prompt: str = ""
    seed: int = 0
    keys: list[str] = field(default_factory=list)
    requests: list[tuple[CaptionRequest, int]] = field(default_factory=list)
    """Each request with the index of its first caption."""
    reject: tuple[str, str] | None = None
    """(reason, message) for a clip that never reaches the engine."""


def columns_for(settings: CaptionSettings) -> list[str] | None:
    """The columns of the clips table that are read: all of them for a template."""
    if settings.prompt.is_template:
        return None
    times = [] if settings.input == "grid" else ["start_seconds", "frame_seconds"]
    return ["clip_id", "video_uri", *times, "frames"]


def clips_of(
    table: pa.Table,
    unit_id: str,
    numbers: Sequence[int],
    known: Known,
    first: int = 0,
    *,
    with_times: bool = False,
) -> Iterator[ClipRow]:
    """The rows of a table that get captions, one after the other.

    numbers: captions of each row. first: the position of the first row in its unit. with_times:
    the model is told when each frame is. Only one row of pixels is in Python at a time.
    """
    for index, num_captions in enumerate(numbers):
        if not num_captions:
            continue
        row = table.slice(index, 1).to_pylist()[0]
        yield ClipRow(
            unit_id=unit_id,
            position=first + index,
            clip_id=row["clip_id"],
            num_captions=num_captions,
            frames=row.pop("frames"),
            seconds=times_of(row) if with_times else [],
            video_uri=row["video_uri"],
            columns=row,
            known=known,
        )


def times_of(row: Mapping[str, Any]) -> list[float]:
    """Seconds of a clip's key frames from its own beginning, as the model is told them."""
    start = row["start_seconds"] or 0.0
    return [max(0.0, second - start) for second in row["frame_seconds"]]


def identify(clip: ClipRow, settings: CaptionSettings) -> Prepared:
    """What a clip's captions are known by; no pixel is decoded."""
    if not clip.frames:
        return Prepared(clip=clip, reject=("no_frames", "the clip has no key frames"))
    try:
        prompt = render(settings.prompt, clip.columns)
    except PromptRowError as error:
        return Prepared(clip=clip, reject=("prompt_error", str(error)))
    digest = frames_digest(clip.frames, clip.seconds)
    fields = settings.key_fields()
    keys = [
        caption_key(frames=digest, prompt=prompt, caption_index=i, settings=fields)
        for i in range(clip.num_captions)
    ]
    return Prepared(clip=clip, prompt=prompt, seed=draw_seed(settings.seed, digest), keys=keys)


def prepare(clip: ClipRow, settings: CaptionSettings) -> Prepared:
    """A clip's requests: its key frames decoded and laid out, its prompt rendered; pure."""
    prepared = identify(clip, settings)
    missing = [i for i, key in enumerate(prepared.keys) if key not in clip.known]
    if not missing:
        return prepared
    try:
        shown = shown_of(clip.frames, clip.seconds, settings)
    except BrokenFrameError as error:
        return Prepared(clip=clip, reject=("broken_frame", str(error)))
    for first, number in runs(missing):
        request = CaptionRequest(
            request_id=f"{clip.unit_id}:{clip.position}:{first}",
            shown=shown,
            prompt=prepared.prompt,
            sampling=settings.sampling,
            seed=prepared.seed + first,
            n=number,
        )
        prepared.requests.append((request, first))
    return prepared


def shown_of(frames: Sequence[bytes], seconds: Sequence[float], settings: CaptionSettings) -> Shown:
    """What the model sees of a clip's JPEGs.

    Raises:
        BrokenFrameError: naming the frame.
    """
    return show(frames, seconds, input=settings.input, layout=settings.grid, size=settings.size)


def runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, number) of each stretch of consecutive indices; each is one request."""
    start = 0
    for i in range(1, len(indices) + 1):
        if i == len(indices) or indices[i] != indices[i - 1] + 1:
            yield indices[start], i - start
            start = i
