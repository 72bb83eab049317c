"""The packet index: what the demuxer tells about every frame without decoding one."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import av
import numpy as np
import numpy.typing as npt

from mama_augment.decode.source import OpenVideo

KEEP_BYTES = 24 * 2**20
"""Memory that packets kept from the index pass may take, so that short files are read once."""
PACKET_BYTES = 560
"""What a packet takes beside its content (measured on 60,000)."""

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True, eq=False)
class PacketIndex:
    """Per packet, in decode order: arrays of equal length N. `kept` holds the packets, if few."""

    pts: npt.NDArray[np.int64]
    dts: npt.NDArray[np.int64]
    size_bytes: npt.NDArray[np.int64]
    is_key: npt.NDArray[np.bool_]
    is_shown: npt.NDArray[np.bool_]
    """False where an edit list (or the codec) makes the decoder drop the frame."""
    kept: list[av.Packet] | None = field(repr=False)
    is_whole: bool
    """Whether the demuxer came to the end without an error."""
    has_timeline: bool
    """Whether every shown frame has its own time stamp, so that frames can be addressed."""

    def __len__(self) -> int:
        return len(self.pts)

    def ticks_without_timeline(self, ordinal: int) -> int | None:
        """Time of the n-th frame from the first, where only decoding times are known.

        Reordering delays all frames alike: the n-th frame shown has the n-th decoding time.
        """
        if ordinal >= len(self.dts) or NO_TIME in (self.dts[ordinal], self.dts[0]):
            return None
        return int(self.dts[ordinal] - self.dts[0])


_last: tuple[tuple[str | int, ...], PacketIndex] | None = None
"""The file that was indexed last, and its index without packets: clips of a video are neighbours,
and each would demux all of it."""


def index_packets(video: OpenVideo) -> PacketIndex:
    """What the whole stream holds; demuxed once for clips of one file that follow each other."""
    global _last
    status = os.stat(video.path)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    file = (video.path, status.st_dev, status.st_ino, status.st_size, *times, video.stream.index)
    last = _last
    if last is not None and last[0] == file:
        return last[1]
    index = _read_index(video)
    _last = (file, replace(index, kept=None)) if index.is_whole else None
    return index


def _read_index(video: OpenVideo) -> PacketIndex:
    """Demux the whole stream."""
    # Not lists: a day of video has millions of packets.
    pts, dts, sizes = array("q"), array("q"), array("q")
    keys, shown = array("b"), array("b")
    kept: list[av.Packet] | None = []
    kept_bytes = 0
    is_whole = True
    try:
        for packet in _demux(video.container, video.stream):
            size = packet.size
            if not size:
                continue
            pts.append(NO_TIME if packet.pts is None else packet.pts)
            dts.append(NO_TIME if packet.dts is None else packet.dts)
            sizes.append(size)
            keys.append(packet.is_keyframe)
            shown.append(not packet.is_discard)
            if kept is not None:
                kept.append(packet)
                kept_bytes += size + PACKET_BYTES
                if kept_bytes > KEEP_BYTES:
                    kept = None
    except (av.error.FFmpegError, OSError):
        is_whole = False  # a damaged end: what came before it counts
    pts_N, shown_N = np.array(pts, np.int64), np.array(shown, bool)
    return PacketIndex(
        pts=pts_N,
        dts=np.array(dts, np.int64),
        size_bytes=np.array(sizes, np.int64),
        is_key=np.array(keys, bool),
        is_shown=shown_N,
        kept=kept,
        is_whole=is_whole,
        has_timeline=_has_timeline(pts_N[shown_N], video),
    )


def _has_timeline(shown_pts: npt.NDArray[np.int64], video: OpenVideo) -> bool:
    is_avi = video.container.format.name == "avi"
    if is_avi and video.stream.codec_context.has_b_frames:
        return False  # AVI stores no times; those of reordered frames are made up
    has_all = len(shown_pts) > 0 and bool((shown_pts != NO_TIME).all())
    return has_all and len(np.unique(shown_pts)) == len(shown_pts)


def read_packets(video: OpenVideo, index: PacketIndex) -> Iterator[av.Packet]:
    """The stream's packets in decode order, from memory or read again."""
    if index.kept is not None:
        yield from index.kept
        return
    with av.open(video.path, metadata_errors="replace") as container:
        stream = container.streams[video.stream.index]
        try:
            yield from (p for p in _demux(container, stream) if p.size)
        except (av.error.FFmpegError, OSError):
            return


def _demux(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[av.Packet]:
    """The stream's packets, also where other streams begin in the middle of the file."""
    try:
        yield from container.demux(stream)
    except IndexError:
        # PyAV (18.1) ends with an empty packet for each stream, and has no object for a stream that
        # began after the file was opened. Every packet has been given by then.
        return
