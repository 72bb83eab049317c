"""One clip's frames: all in order, some of them, or a few by their index."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

import av
import numpy as np
import numpy.typing as npt

from mama_augment.decode.config import Span
from mama_augment.decode.frames.decoder import Decoder
from mama_augment.decode.order import display_places
from mama_augment.decode.packets import NO_PLACE, index_packets
from mama_augment.decode.runs import Run, needed_runs
from mama_augment.decode.source import OpenVideo

DEFAULT_FPS = 25.0
SAME_FPS = 0.005
"""The container's rate is exact (30000/1001) where it agrees with its time stamps to this share."""

IndexedFrame = tuple[int, int, av.VideoFrame]
"""Index in the clip, time stamp in the stream's time base, picture."""


class ClipReader:
    """The frames of `span`; indices count from the first of them, in display order."""

    def __init__(self, video: OpenVideo, span: Span) -> None:
        self.info = video.info
        self._span = span
        self._decoder = Decoder(video)
        self.num_damaged = 0
        self.packets = index_packets(video)
        self.positions = self._positions()
        self.num_strangers = 0
        """Decoded frames whose time the container does not know."""
        self._number_K: Sequence[int] | None = None
        """Without a timeline, of each frame that came out: the number of its packet."""
        self._places: npt.NDArray[np.int64] | None = None
        """Without a timeline, once frames were lost: place in display order by packet number."""

    @property
    def fps(self) -> float | None:
        """Mean frames a second of the video by its time stamps; where it has none, as it states."""
        stated, packets = self.info.fps, self.packets
        if not packets.has_timeline:
            return stated
        shown = packets.pts[packets.is_shown]
        seconds = float(shown.max() - shown.min()) * self.info.time_base_seconds
        if len(shown) < 2 or not seconds:
            return stated
        measured = (len(shown) - 1) / seconds
        return stated if stated and abs(stated / measured - 1) < SAME_FPS else measured

    @property
    def num_errors(self) -> int:
        """Packets and frames that came out damaged so far."""
        return self._decoder.num_errors + self.num_damaged

    @property
    def has_timeline(self) -> bool:
        """Whether frames can be addressed without decoding all of them."""
        return self.packets.has_timeline

    def distrust_timeline(self) -> None:
        """The decoder's frames do not bear the container's times: count them instead."""
        self.packets = replace(self.packets, has_timeline=False)
        self.positions = self._positions()

    @property
    def num_indexed(self) -> int:
        """Frames of the clip as far as the container tells; without a timeline, of the video."""
        return len(self.positions)

    @property
    def is_key(self) -> npt.NDArray[np.bool_]:
        """Per frame of the clip: whether decoding can start from it."""
        return np.asarray(self.packets.is_key[self.positions])

    def _positions(self) -> npt.NDArray[np.int64]:
        """Packet positions of the clip's frames in display order; all packets without times."""
        packets = self.packets
        if not packets.has_timeline:
            return np.arange(len(packets))
        seconds = packets.pts * self.info.time_base_seconds - self.info.origin_seconds
        order = packets.by_time
        return np.asarray(order[(packets.is_shown & self._span.holds(seconds))[order]])

    def pts(self, index: int) -> int:
        """The time stamp of a frame, by the container."""
        return int(self.packets.pts[self.positions[index]])

    def frames(self) -> Iterator[IndexedFrame]:
        """Every frame that can be decoded, in display order."""
        if self.has_timeline:
            yield from self._frames_by_time()
        else:
            yield from self._frames_by_order()

    def _frames_by_time(self) -> Iterator[IndexedFrame]:
        if not len(self.positions):
            return
        # The frame shown first may lead the key frame that is decoded before it.
        first = [int(self.positions[0]), int(self.positions.min())]
        start = needed_runs(self.packets.pts, self.packets.is_key, first)[0].first
        run = Run(first=start, last=int(self.positions.max()))
        # Ascending, so that no table of all frames is needed.
        shown_pts = array("q", self.packets.pts[self.positions].tobytes())
        last_index = -1
        for place, frame in self._decoder.runs(self.packets, [run]):
            index = _index_of(frame.pts, shown_pts)
            if index > last_index:  # else before the span, or a damaged stream's repetition
                yield index, frame.pts, frame
                last_index = index
            self.num_strangers += place == NO_PLACE

    def _frames_by_order(self) -> Iterator[IndexedFrame]:
        in_span = array("q", filter(self._holds_place, range(len(self.packets.promised_dts))))
        number_K = array("q")
        run = Run(first=0, last=len(self.packets) - 1)
        for packet, frame in self._decoder.runs(self.packets, [run]):
            number = NO_PLACE if packet == NO_PLACE else int(self.packets.number[packet])
            if number < 0:
                continue
            place = len(number_K) if self._places is None else int(self._places[number])
            number_K.append(number)
            index = _index_of(place, in_span)
            if index >= 0:
                yield index, self._pts_by_order(place), frame
        if self._places is None:
            self._number_K = number_K

    def settle(self) -> bool:
        """After all frames were read by counting: whether some were lost, so that counting put
        others at the times of those. Reading again then gives the frames whose place is certain.
        """
        if self._number_K is None or len(self._number_K) >= len(self.packets.promised_dts):
            return False
        self._places = display_places(self._number_K, len(self.packets.promised_dts))
        self._number_K = None
        return True

    def _holds_place(self, place: int) -> bool:
        return bool(self._span.holds(self.info.seconds(self._pts_by_order(place))))

    def _pts_by_order(self, ordinal: int) -> int:
        ticks = self.packets.ticks_without_timeline(ordinal)
        if ticks is None:
            ticks = round(ordinal / (self.info.fps or DEFAULT_FPS) / self.info.time_base_seconds)
        return ticks + round(self.info.origin_seconds / self.info.time_base_seconds)

    def fetch(self, indices: Sequence[int]) -> Iterator[IndexedFrame]:
        """Frames by index, ascending, decoding as little as possible; what is damaged is left out.

        Without a timeline, that is the whole video.
        """
        if not self.has_timeline:
            wanted = set(indices)
            yield from (item for item in self.frames() if item[0] in wanted)
            return
        index_of = {int(self.positions[index]): index for index in indices}
        runs = needed_runs(self.packets.pts, self.packets.is_key, index_of)
        for place, frame in self._decoder.runs(self.packets, runs, list(index_of)):
            yield index_of[place], frame.pts, frame


def _index_of(pts: int | None, shown_pts: Sequence[int]) -> int:
    """Where a time stamp stands; -1 where it is not among them."""
    if pts is None:
        return -1
    index = bisect_left(shown_pts, pts)
    return index if index < len(shown_pts) and shown_pts[index] == pts else -1
