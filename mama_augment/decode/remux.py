"""Cut a clip out of its video without encoding it again: packets are copied as they are.

A video can only be decoded from one of its codec's own key frames, so that the copy begins at the
last one before the span. An edit list says where players and decoders begin to show it: at the
span's first frame, exactly. At the end, a few frames after the span may follow where later frames
were needed to decode earlier ones; `last_seconds` says up to when.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import av.error

from mama_augment.decode.config import LimitsConfig
from mama_augment.decode.errors import ClipError
from mama_augment.decode.source import OpenVideo, open_video

IN_MP4 = frozenset(["h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video"])
"""Codecs that MP4 holds; all others go to Matroska, which knows no edit list."""


@dataclass(frozen=True, kw_only=True)
class CutClip:
    """A clip as a video file of its own. Times are those of the whole video."""

    data: bytes
    suffix: str
    """`mp4` or `mkv`."""
    first_seconds: float
    """The first frame that a player shows."""
    last_seconds: float
    """The last frame, which may lie shortly after the span."""


CUT_CLIP = "mama_augment.decode.remux:cut_clip"


def cut_clip(
    path: str, start_seconds: float | None, end_seconds: float | None, root: str | None = None
) -> CutClip:
    """The pictures of `[start_seconds, end_seconds)` of a video, without its sound.

    Memory holds the packets of the clip once. `isolated.IsolatedDecoder` calls it in a process of
    its own.

    Raises:
        ClipError: the video is missing or damaged, has nothing in the span, or its packets have no
            times to cut at.
    """
    with open_video(path, LimitsConfig(), num_threads=1, root=root) as video:
        try:
            return _cut(video, start_seconds, end_seconds)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise ClipError("unreadable", f"{path}: cannot be cut ({error})") from error


def _cut(video: OpenVideo, start_seconds: float | None, end_seconds: float | None) -> CutClip:
    info, stream = video.info, video.stream
    start = -math.inf if start_seconds is None else _stamp(video, start_seconds)
    end = math.inf if end_seconds is None else _stamp(video, end_seconds)
    if start_seconds is not None:
        video.container.seek(int(start), stream=stream, backward=True)
    name = stream.codec_context.name
    suffix = "mp4" if name in IN_MP4 or name in ("libdav1d", "libaom-av1") else "mkv"
    sink = io.BytesIO()
    shown: list[int] = []
    with av.open(sink, "w", format="mp4" if suffix == "mp4" else "matroska") as made:
        copied = made.add_stream_from_template(stream)
        zero = None if start == -math.inf else int(start)
        for packet in wanted(_timed(video), start, end):
            assert packet.pts is not None
            if packet.pts >= start:
                shown.append(packet.pts)
            if zero is None or (suffix == "mkv" and not shown):
                zero = packet.pts if zero is None else min(zero, packet.pts)
            packet.stream = copied
            packet.pts -= zero
            packet.dts = (packet.pts if packet.dts is None else packet.dts) - (
                zero if packet.dts is not None else 0
            )
            made.mux(packet)
    if not any(pts < end for pts in shown):
        raise ClipError("too_short", f"{video.path}: no frame in the span")
    return CutClip(
        data=sink.getvalue(),
        suffix=suffix,
        first_seconds=info.seconds(min(shown)),
        last_seconds=info.seconds(max(shown)),
    )


def _stamp(video: OpenVideo, seconds: float) -> int:
    """The first time stamp at or after a time as players count; a hair's breadth is forgiven."""
    info = video.info
    return math.ceil((seconds + info.origin_seconds) / info.time_base_seconds - 1e-3)


def _timed(video: OpenVideo) -> Iterator[av.Packet]:
    for packet in video.container.demux(video.stream):
        if packet.size == 0:  # the end
            return
        if packet.pts is None:
            raise ClipError(
                "unreadable", f"{video.path}: its packets have no times, so it cannot be cut"
            )
        yield packet


def wanted(packets: Iterable[av.Packet], start: float, end: float) -> Iterator[av.Packet]:
    """Those from which `[start, end)` can be decoded, in their order, and few others.

    Algorithm:
        1. Hold packets back until one is shown at `start` or later; a key frame shown no later
           than `start` replaces what is held.
        2. From then on give all that are shown before `end`, and what is held before each: later
           frames that were needed first.
        3. Stop where decoding times pass `end`: nothing is shown before it is decoded.
    """
    held: list[av.Packet] = []
    is_started = False
    for packet in packets:
        assert packet.pts is not None
        if packet.dts is not None and packet.dts >= end:
            return
        if not is_started and packet.is_keyframe and packet.pts <= start:
            held.clear()
        held.append(packet)
        is_started = is_started or packet.pts >= start
        if is_started and packet.pts < end:
            yield from held
            held.clear()
