"""Feed packets to the decoder and take frames out, whatever the bytes hold.

A decoder that meets damage makes pictures up: it repeats what it has, and every frame that refers
to such a picture inherits it. Those would be pictures of another time under this time's name. So
after an error, or a loss that the decoder does not notice, all frames are left out until one that
stands alone. (FFmpeg's strict mode would notice more, but it refuses sound streams too: H.264 that
is entered at an open group may speak of references from before.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import av
import av.error
import numpy as np

from mama_augment.decode.errors import ClipError
from mama_augment.decode.losses import HOLLOW_CODECS, FrameNumbers, is_hollow
from mama_augment.decode.packets import NO_PLACE, PacketIndex, read_packets
from mama_augment.decode.runs import Run
from mama_augment.decode.source import OpenVideo, memory_error

NumberedFrame = tuple[int, av.VideoFrame]
"""The packet, by its place in decode order, that a frame comes from (NO_PLACE: none that the
container knows), and the frame."""


class Decoder:
    """One clip's decoder; `num_errors` counts packets and frames that came out damaged."""

    def __init__(self, video: OpenVideo) -> None:
        self._video = video
        self._context = video.stream.codec_context
        codec = self._context.codec.canonical_name
        self._numbers = FrameNumbers(self._context.extradata) if codec == "h264" else None
        self._may_be_hollow = codec in HOLLOW_CODECS
        self.num_errors = 0
        self._num_pixels = 0

    def runs(
        self, index: PacketIndex, runs: Iterable[Run], wanted: Sequence[int] | None = None
    ) -> Iterator[NumberedFrame]:
        """Decode runs of the stream, ascending, each from a clean state.

        With `wanted` (places of packets), only their frames come out, and the decoder skips other
        frames that nothing refers to.
        """
        position = 0
        self._index = index
        packets = read_packets(self._video, index)
        chosen = None if wanted is None else set(wanted)
        for run in runs:
            for _ in islice(packets, run.first - position):
                pass
            trust = Trust(index, run)
            some = enumerate(islice(packets, run.last + 1 - run.first), run.first)
            for place, frame in self._frames(some, chosen, trust):
                if chosen is not None and place not in chosen:
                    trust.holds(place)
                elif trust.holds(place):
                    yield place, frame
            position = run.last + 1

    def _frames(
        self, packets: Iterable[tuple[int, av.Packet]], wanted: set[int] | None, trust: Trust
    ) -> Iterator[NumberedFrame]:
        """Decode packets in order, then flush."""
        skip = "DEFAULT"
        self._context.skip_frame = skip
        if self._numbers is not None:
            self._numbers.restart()
        last = 0
        for last, packet in packets:
            if wanted is not None:
                now = "DEFAULT" if last in wanted else "NONREF"
                if now != skip:
                    self._context.skip_frame = skip = now
            if not self._index.has_timeline:
                packet.pts = last  # comes out with the frame
            if packet.is_corrupt or self._is_after_loss(packet, last):
                self._damaged(last, trust)
            yield from self._decode(packet, last, trust)
        yield from self._decode(None, last, trust)
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"

    def _is_after_loss(self, packet: av.Packet, place: int) -> bool:
        """Whether something that the packet's frame may refer to is missing."""
        if self._numbers is not None and self._numbers.is_after_gap(packet):
            return True
        if self._may_be_hollow and is_hollow(packet):
            return True
        is_lossy = self._index.is_lossy
        return is_lossy is not None and bool(is_lossy[place])

    def _decode(
        self, packet: av.Packet | None, place: int, trust: Trust
    ) -> Iterator[NumberedFrame]:
        try:
            frames = self._context.decode(packet)
        except MemoryError as error:
            verdict = memory_error(self._video.path)
            if verdict.reason == "out_of_memory":
                raise verdict from error
            self._damaged(place, trust)
            return
        except (av.error.FFmpegError, OSError, ValueError):
            self._damaged(place, trust)
            return
        for frame in frames:
            self._count(frame)
            origin = self._index.place_of(frame.pts) if self._index.has_timeline else frame.pts
            if frame.is_corrupt:
                self._damaged(place if origin in (None, NO_PLACE) else origin, trust)
            yield NO_PLACE if origin is None else origin, frame

    def _count(self, frame: av.VideoFrame) -> None:
        """Raises ClipError (too_large) for a frame, or many, of more pixels than there may be."""
        limits, size = self._video.limits, frame.width * frame.height
        self._num_pixels += size
        if size <= limits.max_pixels and self._num_pixels <= limits.max_decoded_pixels:
            return
        what = f"{frame.width}x{frame.height} px; the limit is {limits.max_pixels:,} px in all"
        if size <= limits.max_pixels:
            most = limits.max_decoded_pixels
            what = f"its frames have more than {most:,} pixels together (--max-decoded-pixels)"
        raise ClipError("too_large", f"{self._video.path}: {what}")

    def _damaged(self, place: int, trust: Trust) -> None:
        self.num_errors += 1
        trust.lose(place)


class Trust:
    """Which frames of a run owe nothing to damaged ones.

    From a damaged packet on, none is trusted until a key packet's frame has come out: frames that
    come before it in display order may refer to what lies before the key packet (open groups).
    Those leading frames are what is lost where a run begins at such a key packet; only they refer
    to each other.
    """

    def __init__(self, index: PacketIndex, run: Run) -> None:
        self._is_key = index.is_key
        self._pts = index.pts if index.has_timeline else None
        self._first_lost: int | None = None
        self._key: int | None = None
        """Where trust begins again."""
        self._without_leading: int | None = None
        """The last key packet whose leading frames are lost."""
        self._keys = index.keys
        has_key = bool(self._is_key[run.first : run.last + 1].any())
        if has_key and not self._is_key[run.first]:
            self.lose(run.first)

    def lose(self, place: int) -> None:
        """A packet was damaged; it may be a key packet."""
        key = self._led_by(place)
        if key is not None and (self._first_lost is None or key < self._first_lost):
            self._without_leading = key
            return
        if self._first_lost is None:
            self._first_lost = place
        if self._key is None or place >= self._key:
            after = int(np.searchsorted(self._keys, place, side="right"))
            self._key = int(self._keys[after]) if after < len(self._keys) else len(self._is_key)

    def holds(self, place: int) -> bool:
        """Whether the frame of a packet, which has just come out, can be trusted."""
        if place == NO_PLACE:
            return self._first_lost is None
        if self._without_leading is not None and self._led_by(place) == self._without_leading:
            return False
        if self._first_lost is None or place < self._first_lost:
            return True
        if place == self._key:
            self._first_lost = self._key = None
            return True
        return False

    def _led_by(self, place: int) -> int | None:
        """The key packet before a packet, where that is shown later."""
        if self._pts is None or self._is_key[place]:
            return None
        before = int(np.searchsorted(self._keys, place)) - 1
        key = int(self._keys[before]) if before >= 0 else None
        return key if key is not None and self._pts[place] < self._pts[key] else None
