"""What a model is shown of one clip, whatever runs it; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # so that `--help` need not wait for OpenCV
    from mama_augment.core.shared.jpeg import Image

INPUTS = ("grid", "images", "video")
"""One picture of all key frames; the key frames one by one; the model's own video input."""
MOST_SHOWN = 32
"""Key frames of a clip that a model is shown at most, evenly chosen; a grid of your own layout
shows as many as it has cells."""
TICKS_PER_SECOND = 1000
"""Models take a frame's time as index / fps: on this clock every millisecond has an index."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """The pictures of one clip in the order of time, and their times.

    images: uint8 RGB [H, W, 3]; of a grid one, of a video all of one size.
    seconds: of each image from the clip's beginning; none for a grid.
    """

    input: str
    images: tuple[Image, ...]
    seconds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        assert self.input in INPUTS, self.input
        assert self.images
        if self.input == "grid":
            assert len(self.images) == 1, len(self.images)
        else:
            assert len(self.images) == len(self.seconds), (len(self.images), self.seconds)

    def clock(self) -> dict[str, Any]:
        """The times as video models take them: frame `frames_indices[i] / fps` seconds after the
        beginning, none left out or drawn anew; `total_num_frames / fps` is the length that the
        frames stand for, so that frames per second of that length is their true rate.
        """
        indices = [round(second * TICKS_PER_SECOND) for second in self.seconds]
        # Each frame stands for the time up to the next; the last one, for as long as the others.
        between = (indices[-1] - indices[0]) / max(1, len(indices) - 1) or TICKS_PER_SECOND
        total = max(round(between * len(indices)), indices[-1] + 1)
        return {
            "fps": float(TICKS_PER_SECOND),
            "frames_indices": indices,
            "total_num_frames": total,
            "duration": total / TICKS_PER_SECOND,
        }


Part = tuple[str, Any]
"""("text", str), ("image", Image) or ("video", Shown)."""


def parts_of(shown: Shown, prompt: str) -> list[Part]:
    """A user's message: pictures first, each image of several with its time before it, then the
    question.
    """
    if shown.input == "grid":
        return [("image", shown.images[0]), ("text", prompt)]
    if shown.input == "video":
        return [("video", shown), ("text", prompt)]
    parts: list[Part] = []
    for image, second in zip(shown.images, shown.seconds, strict=True):
        parts += [("text", f"Frame at {second:.1f} s:"), ("image", image)]
    return [*parts, ("text", prompt)]
