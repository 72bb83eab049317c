"""The packet index: what the demuxer tells about every frame without decoding one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import numpy as np
import numpy.typing as npt

from mama_augment.video.source import OpenVideo

KEEP_BYTES = 24 * 2**20
"""Compressed bytes kept from the index pass, so that short files are read once."""

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True, eq=False)
class PacketIndex:
    """Per packet, in decode order: arrays of equal length N. `kept` holds the packets, if few."""

    pts: npt.NDArray[np.int64]
    size_bytes: npt.NDArray[np.int64]
    is_key: npt.NDArray[np.bool_]
    is_shown: npt.NDArray[np.bool_]
    """False where an edit list (or the codec) makes the decoder drop the frame."""
    kept: list[av.Packet] | None = field(repr=False)
    ended_well: bool
    """False when the demuxer stopped at an error."""

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def has_timeline(self) -> bool:
        """Whether every shown frame has its own time stamp, so that frames can be addressed."""
        shown = self.pts[self.is_shown]
        return bool(len(shown) and (shown != NO_TIME).all() and len(np.unique(shown)) == len(shown))


def index_packets(video: OpenVideo) -> PacketIndex:
    """Demux the whole stream once."""
    pts: list[int] = []
    sizes: list[int] = []
    keys: list[bool] = []
    shown: list[bool] = []
    kept: list[av.Packet] | None = []
    kept_bytes = 0
    ended_well = True
    try:
        for packet in video.container.demux(video.stream):
            size = packet.size
            if not size:
                continue
            pts.append(NO_TIME if packet.pts is None else packet.pts)
            sizes.append(size)
            keys.append(packet.is_keyframe)
            shown.append(not packet.is_discard)
            if kept is not None:
                kept.append(packet)
                kept_bytes += size
                if kept_bytes > KEEP_BYTES:
                    kept = None
    except (av.error.FFmpegError, OSError):
        ended_well = False
    return PacketIndex(
        pts=np.array(pts, np.int64),
        size_bytes=np.array(sizes, np.int64),
        is_key=np.array(keys, bool),
        is_shown=np.array(shown, bool),
        kept=kept,
        ended_well=ended_well,
    )


def read_packets(video: OpenVideo, index: PacketIndex) -> Iterator[av.Packet]:
    """The stream's packets in decode order, from memory or read again."""
    if index.kept is not None:
        yield from index.kept
        return
    with av.open(video.path, metadata_errors="replace") as container:
        stream = container.streams[video.stream.index]
        try:
            yield from (p for p in container.demux(stream) if p.size)
        except (av.error.FFmpegError, OSError):
            return
