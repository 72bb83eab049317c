"""Open a video file and say what it holds, before any frame is decoded."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error

from mama_augment.decode.config import LimitsConfig
from mama_augment.decode.errors import ClipError
from mama_augment.decode.media import MediaFile, open_container
from mama_augment.inputs.folder.names import name_on_disk

av.logging.set_level(None)  # what matters of FFmpeg's complaints ends in a reject's message

MICROSECONDS = 1_000_000
MEGABYTE = 2**20
PROBE_BYTES = 256 * MEGABYTE
"""Whoever cannot have as much has no memory left for a video."""
OS_ERRORS = (errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ELOOP, errno.ESTALE)


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What the container says about its chosen video stream."""

    width_px: int
    height_px: int
    pixel_aspect: Fraction
    fps: float | None
    time_base_seconds: float
    origin_seconds: float
    """The container's own time that players show as 0."""

    def seconds(self, pts: int) -> float:
        """A time stamp as players show it."""
        return pts * self.time_base_seconds - self.origin_seconds


@dataclass(frozen=True, kw_only=True)
class OpenVideo:
    """An open container with its chosen stream."""

    path: str
    file: MediaFile
    container: av.container.InputContainer
    stream: av.video.stream.VideoStream
    info: VideoInfo
    limits: LimitsConfig


@contextmanager
def open_video(
    path: str, limits: LimitsConfig, *, num_threads: int, root: str | None = None
) -> Iterator[OpenVideo]:
    """Open `path` and choose its video stream.

    root: the folder that the file must lie in; None: anywhere.

    Raises:
        ClipError: missing, bad_name, outside, io_error, unreadable, no_video or too_large.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(MediaFile(path, root))
            container = stack.enter_context(open_container(file))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _open_error(path, error) from error
        stream = _choose_stream(container, path)
        context = stream.codec_context
        if context is None:
            raise ClipError("unreadable", f"{path}: no decoder for its video stream")
        if context.width * context.height > limits.max_pixels:
            raise ClipError(
                "too_large",
                f"{path}: {context.width}x{context.height} px; the limit is "
                f"{limits.max_pixels:,} px in all",
            )
        context.thread_type = "AUTO"
        context.thread_count = num_threads
        yield OpenVideo(
            path=path,
            file=file,
            container=container,
            stream=stream,
            info=_info(stream),
            limits=limits,
        )


def _open_error(path: str, error: Exception) -> ClipError:
    number = getattr(error, "errno", None)
    if isinstance(error, FileNotFoundError):
        raw = name_on_disk(path)
        if raw is not None and os.path.lexists(raw):
            return ClipError(
                "bad_name",
                f"{path}: the file's name is not UTF-8 (its other bytes are shown as \\x..); "
                "rename the file",
            )
        return ClipError("missing", f"{path}: no such file")
    if number == errno.ENOMEM:
        return memory_error(path)
    if number == errno.ENXIO:  # a socket, or a device that is not there
        return ClipError("unreadable", f"{path}: not a regular file")
    if number in OS_ERRORS or (number == errno.EIO and not _can_be_read(path)):
        return ClipError("io_error", f"{path}: {os.strerror(number)}")
    return ClipError("unreadable", f"{path}: {getattr(error, 'strerror', None) or error}")


def memory_error(path: str) -> ClipError:
    """Whether memory has run out, or a damaged file asked for an absurd amount of it."""
    try:
        bytearray(PROBE_BYTES)
    except MemoryError:
        return ClipError("out_of_memory", f"{path}: memory has run out")
    return ClipError("unreadable", f"{path}: it asks for more memory than there is")


def _can_be_read(path: str) -> bool:
    """Whether the disk gives the file's bytes; demuxers say EIO of damaged content, too."""
    try:
        with open(path, "rb") as file:
            while file.read(MEGABYTE):
                pass
    except OSError:
        return False
    return True


def _choose_stream(
    container: av.container.InputContainer, path: str
) -> av.video.stream.VideoStream:
    covers = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers]
    if not streams:
        raise ClipError("no_video", f"{path}: no video stream")
    return max(streams, key=_preference)


def _preference(stream: av.video.stream.VideoStream) -> tuple[bool, int]:
    is_default = bool(stream.disposition & av.stream.Disposition.default)
    context = stream.codec_context
    return is_default, context.width * context.height if context else 0


def _info(stream: av.video.stream.VideoStream) -> VideoInfo:
    context = stream.codec_context
    time_base = stream.time_base or Fraction(1, MICROSECONDS)
    start = stream.container.start_time
    if start is not None:
        origin = start / MICROSECONDS
    else:
        origin = float((stream.start_time or 0) * time_base)
    rate = stream.average_rate or stream.guessed_rate
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio
    return VideoInfo(
        width_px=context.width,
        height_px=context.height,
        pixel_aspect=aspect if aspect else Fraction(1),
        fps=float(rate) if rate else None,
        time_base_seconds=float(time_base),
        origin_seconds=origin,
    )
