"""Places in display order of frames whose container has no times, where some of them were lost.

Counting what the decoder gives would move every frame behind a loss. But the decoder can say which
packet each frame came from, and display order differs from decode order only locally.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UNKNOWN = -1
LEAST_MARGIN = 8
"""Places, where frames are reordered at all."""


def display_places(packet_K: Sequence[int], num_packets: int) -> npt.NDArray[np.int64]:
    """Place in display order of each packet's frame, or UNKNOWN; int64 [num_packets].

    Args:
        packet_K: of each of K frames in display order, the packet that it came from.
        num_packets: one packet holds one frame, so as many frames are there in all.

    The k-th frame that came out takes the k-th place that is not a lost frame's. Where the lost
    frame's own place lies is known only to as many places as reordering moves frames here: frames
    nearer to a loss than twice that have no certain place. A stream without reordering has none.
    Where packets came out twice, or unnamed ones did, no place is certain.
    """
    places = np.full(num_packets, UNKNOWN, np.int64)
    packets = np.asarray(packet_K, np.int64)
    if not len(packets) or packets.min() < 0 or packets.max() >= num_packets:
        return places
    ranks = np.argsort(np.argsort(packets, kind="stable"), kind="stable")
    if len(np.unique(packets)) < len(packets):
        return places
    moved = int(np.abs(ranks - np.arange(len(packets))).max())
    # Among those that came out; one that did not may have moved farther.
    moved = max(2 * moved, LEAST_MARGIN) if moved else 0
    is_there = np.zeros(num_packets, bool)
    is_there[packets] = True
    place_K = np.flatnonzero(is_there)
    num_lost_before = np.concatenate([[0], np.cumsum(~is_there)])
    low = np.maximum(place_K - moved, 0)
    high = np.minimum(place_K + moved + 1, num_packets)
    is_certain = num_lost_before[high] == num_lost_before[low]
    places[packets[is_certain]] = place_K[is_certain]
    return places
