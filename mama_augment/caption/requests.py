"""From a row of the clips table to what is asked of the engine; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mama_augment.budget.plan_file import PlannedCaptions
from mama_augment.caption.engines.base import CaptionRequest, SamplingConfig
from mama_augment.caption.identity import caption_key, draw_seed, frames_digest
from mama_augment.caption.input.grid import (
    compose_grid,
    decode_for_cell,
    even_indices,
)
from mama_augment.caption.input.layout import GridLayout
from mama_augment.caption.input.prompts import Prompt, PromptRowError
from mama_augment.caption.known import Known
from mama_augment.core.schema import HELD_OUT
from mama_augment.core.shared.jpeg import BrokenFrameError, Image


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """Everything that decides what a caption says; part of the step's config."""

    model: str
    model_revision: str
    size_px: tuple[int, int]
    prompt: Prompt
    grid: GridLayout = field(default_factory=GridLayout)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    num_captions: int = 1
    plan: PlannedCaptions | None = None
    """How many captions each clip gets, in place of `num_captions` for all."""
    every_split: bool = False
    """Caption meta, val and test clips too; `balance` takes no generated text for those."""
    seed: int = 0

    def num_captions_of(self, clip_id: str, split: str | None) -> int:
        """How many captions a clip gets.

        0 when the plan asks for none or does not name it, and when its given split is reserved
        for trusted texts.
        """
        is_reserved = split in HELD_OUT and not self.every_split
        return 0 if is_reserved else self.num_asked_of(clip_id)

    def num_asked_of(self, clip_id: str) -> int:
        """As `num_captions_of`, whatever its split."""
        return self.num_captions if self.plan is None else self.plan.counts.get(clip_id, 0)

    def key_fields(self) -> dict[str, Any]:
        """What `caption_key` mixes with the frames, the prompt and the caption's index."""
        return {
            "grid": str(self.grid),
            "size_px": list(self.size_px),
            "model_revision": self.model_revision,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "max_tokens": self.sampling.max_tokens,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A row of the clips table, on its way to the engine."""

    unit_id: str
    position: int
    clip_id: str
    num_captions: int
    frames: list[bytes]
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
    return None if settings.prompt.is_template else ["clip_id", "frames"]


def clips_of(
    table: pa.Table,
    unit_id: str,
    numbers: Sequence[int],
    known: Known,
    first: int = 0,
) -> Iterator[ClipRow]:
    """The rows of a table that get captions, one after the other.

    numbers: captions of each row. first: the position of the first row in its unit. Only one row
    of pixels is in Python at a time.
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
            columns=row,
            known=known,
        )


def identify(clip: ClipRow, settings: CaptionSettings) -> Prepared:
    """What a clip's captions are known by; no pixel is decoded."""
    if not clip.frames:
        return Prepared(clip=clip, reject=("no_frames", "the clip has no key frames"))
    try:
        prompt = settings.prompt.render(clip.columns)
    except PromptRowError as error:
        return Prepared(clip=clip, reject=("prompt_error", str(error)))
    digest = frames_digest(clip.frames)
    fields = settings.key_fields()
    keys = [
        caption_key(frames=digest, prompt=prompt, caption_index=i, settings=fields)
        for i in range(clip.num_captions)
    ]
    return Prepared(clip=clip, prompt=prompt, seed=draw_seed(settings.seed, digest), keys=keys)


def prepare(clip: ClipRow, settings: CaptionSettings) -> Prepared:
    """A clip's requests: its key frames decoded and composed, its prompt rendered; pure."""
    prepared = identify(clip, settings)
    missing = [i for i, key in enumerate(prepared.keys) if key not in clip.known]
    if not missing:
        return prepared
    try:
        image = grid_of(clip.frames, settings)
    except BrokenFrameError as error:
        return Prepared(clip=clip, reject=("broken_frame", str(error)))
    for first, number in runs(missing):
        request = CaptionRequest(
            request_id=f"{clip.unit_id}:{clip.position}:{first}",
            image=image,
            prompt=prepared.prompt,
            sampling=settings.sampling,
            seed=prepared.seed + first,
            n=number,
        )
        prepared.requests.append((request, first))
    return prepared


def grid_of(frames: Sequence[bytes], settings: CaptionSettings) -> Image:
    """The grid of a clip's JPEGs, as the model will see it.

    Raises:
        BrokenFrameError: naming the frame.
    """
    layout = settings.grid
    cell_px = (settings.size_px[0] // layout.columns, settings.size_px[1] // layout.rows)
    images = []
    for index in even_indices(len(frames), layout.num_cells):
        try:
            images.append(decode_for_cell(frames[index], cell_px))
        except BrokenFrameError as error:
            raise BrokenFrameError(f"key frame {index} is {error}") from error
    return compose_grid(images, layout.rows, layout.columns, settings.size_px)


def runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, number) of each stretch of consecutive indices; each is one request."""
    start = 0
    for i in range(1, len(indices) + 1):
        if i == len(indices) or indices[i] != indices[i - 1] + 1:
            yield indices[start], i - start
            start = i
