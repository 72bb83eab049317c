"""Real video files whose every frame carries its own number in its picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mama_augment.decode.config import LimitsConfig, PictureConfig, Span
from mama_augment.keyframes.config import ClipConfig, ClipFrames
from mama_augment.keyframes.extract import extract_clip
from mama_augment.keyframes.strategies.config import KeyFrameConfig

NUM_BITS = 10
TIME_BASE = Fraction(1, 12800)


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """RGB: ten columns, white where the bit of `number` is set, the highest bit on the left."""
    bits = [(number >> (NUM_BITS - 1 - k)) & 1 for k in range(NUM_BITS)]
    bit_of_column = np.array_split(np.arange(width), NUM_BITS)
    columns = np.concatenate(
        [
            np.full(len(c), 228 if bit else 28, np.uint8)
            for c, bit in zip(bit_of_column, bits, strict=True)
        ]
    )
    return np.repeat(np.tile(columns, (height, 1))[:, :, None], 3, axis=2)


def read_number(jpeg: bytes) -> int:
    """The number in a picture of `numbered_picture`."""
    picture = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float)
    columns = np.array_split(picture.mean(axis=0), NUM_BITS)
    return int("".join(str(int(c.mean() > 128)) for c in columns), 2)


def write_numbered(
    path: Path,
    num_frames: int = 60,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (160, 96),
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    seconds: Callable[[int], float] = lambda index: index / 25,
    container_options: dict[str, str] | None = None,
    format: str | None = None,
    prepare: Callable[[av.video.stream.VideoStream], None] = lambda stream: None,
    pictures: Sequence[np.ndarray] | None = None,
) -> Path:
    """Encode numbered frames shown at `seconds(index)`."""
    with av.open(str(path), "w", format=format, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.options = options or {}
        if codec.startswith("libx26"):
            stream.codec_context.time_base = TIME_BASE
        prepare(stream)
        for index in range(num_frames):
            picture = numbered_picture(index, *size) if pictures is None else pictures[index]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if codec.startswith("libx26"):
                frame.time_base = TIME_BASE
                frame.pts = round(seconds(index) / TIME_BASE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def extract(
    path: Path,
    *,
    strategy: str = "peaks",
    num_frames: int = 6,
    start: float | None = None,
    end: float | None = None,
    num_threads: int = 2,
    picture: PictureConfig | None = None,
    sample_fps: float | None = None,
    decoder: str = "av",
) -> ClipFrames:
    """The key frames of a file, decoded in this process."""
    config = ClipConfig(
        choice=KeyFrameConfig(num_frames=num_frames, strategy=strategy, sample_fps=sample_fps),
        picture=picture or PictureConfig(),
        limits=LimitsConfig(num_threads=num_threads),
        decoder=decoder,
    )
    return extract_clip(str(path), Span(start_seconds=start, end_seconds=end), config)


def checked_picture(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """As `numbered_picture`, the lower half inverted: damage does not read as another number."""
    picture = numbered_picture(number, width, height)
    picture[height // 2 :] = 255 - picture[height // 2 :]
    return picture


def read_checked(jpeg: bytes) -> int | None:
    """The number in a picture of `checked_picture`; None where the picture is damaged."""
    picture = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float)
    middle = picture.shape[0] // 2
    numbers = []
    for half in (picture[2 : middle - 2], 255 - picture[middle + 2 : -2]):
        columns = np.array_split(half.mean(axis=0), NUM_BITS)
        if half.std(axis=0).max() > 30 or any(80 < column.mean() < 176 for column in columns):
            return None
        numbers.append(int("".join(str(int(c.mean() > 128)) for c in columns), 2))
    return numbers[0] if numbers[0] == numbers[1] else None
