"""Feed packets to the decoder and take frames out, whatever the bytes hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import av
import av.error

from mama_augment.decode.packets import PacketIndex, read_packets
from mama_augment.decode.runs import Run
from mama_augment.decode.source import OpenVideo, memory_error


class Decoder:
    """One clip's decoder; `num_errors` counts packets and frames that came out damaged."""

    def __init__(self, video: OpenVideo) -> None:
        self._video = video
        self._context = video.stream.codec_context
        self.num_errors = 0

    def frames(
        self, packets: Iterable[av.Packet], wanted_pts: set[int] | None = None
    ) -> Iterator[av.VideoFrame]:
        """Decode packets in order, then flush.

        With `wanted_pts`, only those frames come out, and the decoder skips other frames that
        nothing refers to.
        """
        skip = "DEFAULT"
        self._context.skip_frame = skip
        for packet in packets:
            if wanted_pts is not None:
                now = "DEFAULT" if packet.pts in wanted_pts else "NONREF"
                if now != skip:
                    self._context.skip_frame = skip = now
            yield from self._decode(packet, wanted_pts)
        yield from self._decode(None, wanted_pts)
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"

    def _decode(
        self, packet: av.Packet | None, wanted_pts: set[int] | None
    ) -> Iterator[av.VideoFrame]:
        try:
            frames = self._context.decode(packet)
        except MemoryError as error:
            verdict = memory_error(self._video.path)
            if verdict.reason == "out_of_memory":
                raise verdict from error
            self.num_errors += 1
            return
        except (av.error.FFmpegError, OSError, ValueError):
            self.num_errors += 1
            return
        for frame in frames:
            self.num_errors += frame.is_corrupt
            if wanted_pts is None or frame.pts in wanted_pts:
                yield frame

    def runs(
        self, index: PacketIndex, runs: Iterable[Run], wanted_pts: set[int] | None
    ) -> Iterator[av.VideoFrame]:
        """Decode runs of the stream, ascending, each from a clean state."""
        position = 0
        packets = read_packets(self._video, index)
        for run in runs:
            for _ in islice(packets, run.first - position):
                pass
            yield from self.frames(islice(packets, run.last + 1 - run.first), wanted_pts)
            position = run.last + 1
