"""The strategy `packets`: see shots in the sizes and kinds of packets, and decode little."""

from __future__ import annotations

import numpy as np

from mama_augment.keyframes.strategies.base import Choice, ClipView, Strategy
from mama_augment.keyframes.strategies.choose import cut_at_peaks
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.keyframes.strategies.packet_signal import choose_by_packets, find_packet_peaks


class Packets(Strategy):
    """One key frame or more of every shot that the packets show, at small cost."""

    name = "packets"
    help = "a frame of every shot that packet sizes show; decodes a few frames"
    without_index = "peaks"

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        """See Strategy."""
        packets, positions, num_wanted = clip.packets, clip.positions, config.num_frames
        is_forward = packets.pts >= np.maximum.accumulate(packets.pts)
        peaks = find_packet_peaks(
            packets.size_bytes[positions],
            clip.is_key,
            is_forward[positions],
            least_distance=config.least_shot_frames,
        )
        shots = cut_at_peaks(peaks, clip.num_frames, num_wanted)
        key_at = np.where(packets.is_key, np.arange(len(packets)), 0)
        cost = positions - np.maximum.accumulate(key_at)[positions] + 1
        chosen = choose_by_packets(shots, clip.is_key, cost, num_wanted)
        return Choice(strategy=self.name, frame_index=chosen)
