"""decord behind the interface of `ClipReader`, for those who want its frames.

The container is read by PyAV all the same: decord gives no times that can be trusted with edit
lists, and no verdict on what is broken. decord turns rotated video upright by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np

from mama_augment.decode.config import Span
from mama_augment.decode.frames.reader import ClipReader, IndexedFrame
from mama_augment.decode.source import OpenVideo

WRONG_FORMATS = ("mpegts",)
"""decord 0.6 loses the first group of transport streams and repeats later frames for it."""


class DecordReader(ClipReader):
    """Frames through decord where it can open the file and the container has a timeline."""

    def __init__(self, video: OpenVideo, span: Span, *, num_threads: int) -> None:
        super().__init__(video, span)
        # Not by its name: the file is the one that was looked at.
        self._path = f"/proc/self/fd/{video.file.fileno()}"
        self._format = video.container.format.name
        self._num_threads = num_threads
        # decord counts every packet's frame by time, those that edit lists hide included.
        self._decord_index = np.argsort(self.packets.by_time, kind="stable")

    def frames(self) -> Iterator[IndexedFrame]:
        if self.has_timeline:
            yield from self.fetch(range(self.num_indexed))
        else:
            yield from super().frames()

    def fetch(self, indices: Sequence[int]) -> Iterator[IndexedFrame]:
        """Frames by index. Read from the start: decord's seeking lands on wrong frames in
        transport streams, MPEG-2, HEVC and open groups (the tests show it)."""
        reader = self._open() if self.has_timeline and len(indices) else None
        if reader is None:
            yield from super().fetch(indices)
            return
        index_of = {int(self._decord_index[self.positions[i]]): i for i in indices}
        for decord_index in range(max(index_of) + 1):
            pixels = self._next(reader)
            if pixels is not None and decord_index in index_of:
                index = index_of[decord_index]
                yield index, self.pts(index), av.VideoFrame.from_ndarray(pixels, format="rgb24")

    def _open(self) -> Any:
        """decord's reader, or None for what it cannot open or gives wrong frames of."""
        import decord

        if self._format in WRONG_FORMATS:
            return None

        decord.logging.set_level(decord.logging.QUIET)
        try:
            return decord.VideoReader(self._path, num_threads=self._num_threads)
        except (decord.DECORDError, RuntimeError):
            return None

    def _next(self, reader: Any) -> Any:
        import decord

        try:
            return reader.next().asnumpy()
        except (decord.DECORDError, StopIteration, RuntimeError):
            self.num_damaged += 1
            return None
