"""Packets that never came: what their neighbours tell of them.

A demuxer that loses its way in damaged bytes goes on with the next packet that it finds, and says
nothing. A decoder that lacks a reference takes another picture for it, mostly as silently. Some
traces are left: the continuity counters of a transport stream, the frame numbers of H.264, zeros
where a file was never written, and the index of an AVI file (which `packets.py` reads).
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt

from mama_augment.decode.media import MediaFile

TS_SYNC = 0x47
TS_LAYOUTS = ((188, 0), (192, 4), (204, 0))
"""Bytes of a transport stream's packet, and of what stands before its sync byte: broadcast,
cameras and discs (a time before each packet), with error correction behind each."""
CHUNK_TS_PACKETS = 2**16
HEAD_TS_BYTES = 2**20
HOLLOW_CODECS = frozenset(["vp8", "vp9", "av1", "mjpeg"])
"""They decode anything, and have no reason for long runs of zeros. (Others notice by themselves, or
may be padded with zeros.)"""
HOLE = bytes(64)
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
UNIT_HEAD_BYTES = 24
"""Of a slice: its header's first fields."""
HEAD_BYTES = 4096
"""Of a packet: the slice header lies behind parameter sets and messages."""
SLICE, IDR_SLICE, PARAMETERS = 1, 5, 7


def broken_at(video: MediaFile, pid: int) -> npt.NDArray[np.int64]:
    """File offsets at which a transport stream's packets of one PID do not continue, ascending."""
    counters, offsets = [np.empty(0, np.uint8)], [np.empty(0, np.int64)]
    breaks: list[npt.NDArray[np.int64]] = []
    with video.again() as file:
        size, start = _layout(file.read(HEAD_TS_BYTES))
        file.seek(start)
        while content := file.read(CHUNK_TS_PACKETS * size):
            whole = len(content) // size
            rows = np.frombuffer(content, np.uint8, whole * size).reshape(whole, size)
            at = start + np.arange(whole, dtype=np.int64) * size
            is_sync = rows[:, 0] == TS_SYNC
            breaks.append(at[~is_sync])
            pids = (rows[:, 1].astype(np.int64) & 0x1F) << 8 | rows[:, 2]
            # Packets without payload do not count.
            is_ours = is_sync & (pids == pid) & ((rows[:, 3] & 0x10) != 0)
            counters.append(rows[is_ours, 3] & 0x0F)
            offsets.append(at[is_ours])
            start += len(content)
    counter, offset = np.concatenate(counters), np.concatenate(offsets)
    step = (counter[1:] - counter[:-1]) & 0x0F
    jumps = offset[1:][step > 1]  # 0: a packet that was sent twice
    return np.unique(np.concatenate([*breaks, jumps]))


def _layout(head: bytes) -> tuple[int, int]:
    """The layout whose sync bytes are most often where they should be."""
    content = np.frombuffer(head, np.uint8)

    def share(layout: tuple[int, int]) -> float:
        size, before = layout
        places = content[before::size]
        return float((places == TS_SYNC).mean()) if len(places) else 0.0

    return max(TS_LAYOUTS, key=share)


def is_hollow(packet: av.Packet) -> bool:
    """Whether a packet of a codec in HOLLOW_CODECS holds zeros where coded pictures have none: not
    in the headers of a JPEG, and not behind its end, where cameras pad."""
    content = bytes(memoryview(packet))
    if content.startswith(JPEG_START):
        content = content[max(0, content.rfind(JPEG_SCAN)) :]
        picture = content.rstrip(b"\0")
        content = picture if picture.endswith(JPEG_END) else content
    return HOLE in content


class FrameNumbers:
    """Of H.264 packets in decode order: is a reference frame missing before this one?"""

    def __init__(self, extradata: bytes | None) -> None:
        self._length_bytes = 0
        """Of the lengths before units; 0: start codes stand between them."""
        self._bits: int | None = None
        """Length of the field frame_num; None: not known, or gaps are allowed."""
        self._last: int | None = None
        """frame_num of the last reference frame."""
        if extradata and extradata[0] == 1 and len(extradata) > 8:
            self._length_bytes = (extradata[4] & 3) + 1
            length = int.from_bytes(extradata[6:8], "big")
            self._take_parameters(extradata[8 : 8 + length])
        elif extradata:
            for unit in _between_start_codes(extradata):
                if unit and unit[0] & 31 == PARAMETERS:
                    self._take_parameters(unit)

    def restart(self) -> None:
        """What follows does not continue what came before."""
        self._last = None

    def is_after_gap(self, packet: av.Packet) -> bool:
        """Told every packet in turn."""
        for unit in self._units(packet):
            kind = unit[0] & 31 if unit else 0
            if kind == PARAMETERS and not self._length_bytes:
                self._take_parameters(unit)
            if kind in (SLICE, IDR_SLICE):
                try:
                    return self._follows_gap(unit, is_idr=kind == IDR_SLICE)
                except ValueError:
                    return True  # no slice begins like that
        return False

    def _follows_gap(self, unit: bytes, *, is_idr: bool) -> bool:
        if self._bits is None:
            return False
        number = 0
        if not is_idr:
            bits = Bits(unit[1:UNIT_HEAD_BYTES])
            for _ in range(3):  # first macroblock, slice type, parameter set
                bits.golomb()
            number = bits.take(self._bits)
        last, is_reference = self._last, bool(unit[0] & 0x60)
        if is_reference:
            self._last = number
        expected = (last, (last + 1) % (1 << self._bits)) if last is not None else (number,)
        return not is_idr and number not in expected

    def _take_parameters(self, unit: bytes) -> None:
        """Of a sequence parameter set: how long frame_num is, and whether it may skip."""
        try:
            self._bits = frame_number_bits(unit)
        except (IndexError, ValueError):
            self._bits = None

    def _units(self, packet: av.Packet) -> Iterator[bytes]:
        """The beginnings of its units."""
        content = memoryview(packet)
        if not self._length_bytes:
            yield from _between_start_codes(bytes(content[:HEAD_BYTES]))
            return
        at, size = 0, self._length_bytes
        while at + size < len(content):
            length = int.from_bytes(content[at : at + size], "big")
            at += size
            yield bytes(content[at : at + min(length, UNIT_HEAD_BYTES)])
            at += length


class Bits:
    """Bits of a unit, from the highest of each byte on; emulation bytes are taken out."""

    def __init__(self, content: bytes) -> None:
        content = content.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        """Raises: ValueError where there are no more."""
        if count > self._left:
            raise ValueError("no more bits")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        self._left -= zeros
        return self.take(zeros + 1) - 1


HIGH_PROFILES = frozenset([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])


def frame_number_bits(parameters: bytes) -> int | None:
    """Length of frame_num by a sequence parameter set (ITU-T H.264, 7.3.2.1.1); None where gaps
    are allowed, or scaling matrices make the set too long to follow."""
    bits = Bits(parameters[1:200])
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    if profile in HIGH_PROFILES:
        if bits.golomb() == 3:
            bits.take(1)
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            return None
    length = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()
    return None if bits.take(1) else length


def _between_start_codes(content: bytes) -> list[bytes]:
    return content.split(b"\0\0\1")[1:]
