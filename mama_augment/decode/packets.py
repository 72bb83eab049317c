"""The packet index: what the demuxer tells about every frame without decoding one."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import av
import numpy as np
import numpy.typing as npt

from mama_augment.decode.errors import ClipError
from mama_augment.decode.losses import broken_at
from mama_augment.decode.media import open_container
from mama_augment.decode.source import OpenVideo

KEEP_BYTES = 24 * 2**20
"""Memory that packets kept from the index pass may take, so that short files are read once."""
PACKET_BYTES = 560
"""What a packet takes beside its content (measured on 60,000)."""

AVI_CHUNK_HEADER = 8
AVI_START, AVI_START_BYTES = b"movi", 2**20
"""What stands before the first packet; sound may lie between."""
NO_PLACE = -1
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
    is_lossy: npt.NDArray[np.bool_] | None
    """Packets of which, or before which, something is missing by the container; None: none."""
    number: npt.NDArray[np.int64]
    """Place in decode order among all packets that the container promises, those included that
    damage has made unfindable (an AVI file's index knows); -1: not promised. Else 0 to N - 1."""
    promised_dts: npt.NDArray[np.int64]
    """Decoding time of each of those."""
    is_whole: bool
    """Whether the demuxer came to the end without an error."""
    has_timeline: bool
    """Whether every shown frame has its own time stamp, so that frames can be addressed."""

    @cached_property
    def by_time(self) -> npt.NDArray[np.int64]:
        """Places of the packets in the order of their time stamps."""
        return np.argsort(self.pts, kind="stable")

    @cached_property
    def _times(self) -> npt.NDArray[np.int64]:
        return self.pts[self.by_time]

    def place_of(self, pts: int | None) -> int:
        """The packet with a time stamp, by its place; NO_PLACE: none has it."""
        if pts is None:
            return NO_PLACE
        at = int(np.searchsorted(self._times, pts))
        is_there = at < len(self) and self._times[at] == pts
        return int(self.by_time[at]) if is_there else NO_PLACE

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """Places of the packets from which decoding can start, ascending."""
        return np.flatnonzero(self.is_key)

    def __len__(self) -> int:
        return len(self.pts)

    def ticks_without_timeline(self, ordinal: int) -> int | None:
        """Time of the n-th frame from the first, where only decoding times are known.

        Reordering delays all frames alike: the n-th frame shown has the n-th decoding time.
        """
        dts = self.promised_dts
        if ordinal >= len(dts) or NO_TIME in (dts[ordinal], dts[0]):
            return None
        return int(dts[ordinal] - dts[0])


_last: tuple[tuple[str | int, ...], PacketIndex] | None = None
"""The file that was indexed last, and its index without packets: clips of a video are neighbours,
and each would demux all of it."""


def index_packets(video: OpenVideo) -> PacketIndex:
    """What the whole stream holds; demuxed once for clips of one file that follow each other."""
    global _last
    status = os.fstat(video.file.fileno())
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
    keys, shown, places = array("b"), array("b"), array("q")
    kept: list[av.Packet] | None = []
    kept_bytes = 0
    is_whole = True
    promised_offsets, promised_dts = _promised(video)
    try:
        for packet in _demux(video.container, video.stream):
            size = packet.size
            if not size:
                continue
            pts.append(NO_TIME if packet.pts is None else packet.pts)
            dts.append(NO_TIME if packet.dts is None else packet.dts)
            sizes.append(size)
            keys.append(packet.is_keyframe)
            places.append(-1 if packet.pos is None else packet.pos)
            shown.append(not packet.is_discard)
            if kept is not None:
                kept.append(packet)
                kept_bytes += size + PACKET_BYTES
                if kept_bytes > KEEP_BYTES:
                    kept = None
    except (av.error.FFmpegError, OSError):
        is_whole = False  # a damaged end: what came before it counts
    pts_N, dts_N = np.array(pts, np.int64), np.array(dts, np.int64)
    is_key_N = np.array(keys, bool)
    shown_N, places_N = np.array(shown, bool), np.array(places, np.int64)
    number_N = np.arange(len(pts_N))
    has_timeline = _has_timeline(pts_N[shown_N], video)
    if len(promised_dts) > len(pts_N):
        # Where it lost its way, the demuxer counted on from the last packet before: the times that
        # its packets, and so their frames, bear are not theirs.
        number_N = _numbers(places_N, promised_offsets)
        has_timeline = False
    else:
        promised_dts = dts_N
        _check_start(video, places_N)
    return PacketIndex(
        pts=pts_N,
        dts=dts_N,
        size_bytes=np.array(sizes, np.int64),
        is_key=is_key_N,
        is_shown=shown_N,
        kept=kept,
        is_lossy=_is_lossy(places_N, number_N, is_key_N, video),
        number=number_N,
        promised_dts=promised_dts,
        is_whole=is_whole,
        has_timeline=has_timeline,
    )


def _check_start(video: OpenVideo, offset_N: npt.NDArray[np.int64]) -> None:
    """An AVI file without an index is counted from its beginning, which must be there.

    Raises:
        ClipError: unreadable.
    """
    is_avi = video.container.format.name == "avi"
    if not is_avi or not 0 < len(offset_N) < video.stream.frames:
        return
    with video.file.again() as file:
        file.seek(max(0, int(offset_N[0]) - AVI_START_BYTES))
        if AVI_START not in file.read(AVI_START_BYTES):
            raise ClipError(
                "unreadable",
                f"{video.path}: its index and its beginning are damaged, and an AVI file has no "
                "other times",
            )


def _promised(video: OpenVideo) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Offset in the file and decoding time of every packet, where an AVI file's index tells."""
    is_avi = video.container.format.name == "avi"
    entries = [e for e in video.stream.index_entries if e.size] if is_avi else []
    offsets = np.array([entry.pos + AVI_CHUNK_HEADER for entry in entries], np.int64)
    return offsets, np.array([entry.timestamp for entry in entries], np.int64)


def _numbers(
    offset_N: npt.NDArray[np.int64], promised: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Which of the promised packets (offsets, ascending) each packet is; -1: none."""
    places = np.clip(np.searchsorted(promised, offset_N), 0, len(promised) - 1)
    return np.where(promised[places] == offset_N, places, -1)


def _is_lossy(
    offset_N: npt.NDArray[np.int64],
    number_N: npt.NDArray[np.int64],
    is_key_N: npt.NDArray[np.bool_],
    video: OpenVideo,
) -> npt.NDArray[np.bool_] | None:
    """Of packets by their offsets in the file (-1: not known) and their numbers."""
    is_lossy = (np.diff(number_N, prepend=-1) != 1) | (number_N < 0)
    if video.container.format.name == "mpegts" and len(offset_N):
        broken = broken_at(video.file, video.stream.id)
        # The last packet that begins before a break lacks its end; what follows lacks references,
        # if it needs any.
        places = np.searchsorted(np.maximum.accumulate(offset_N), broken)
        is_lossy[places[places > 0] - 1] = True
        after = places[places < len(offset_N)]
        is_lossy[after[~is_key_N[after]]] = True
    return is_lossy if is_lossy.any() else None


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
    with video.file.again() as file, open_container(file) as container:
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
