"""The strategy `peaks`: decode the whole clip once, and cut it where the picture changes most."""

from __future__ import annotations

from mama_augment.keyframes.strategies.base import Choice, ClipView, Strategy
from mama_augment.keyframes.strategies.choose import find_peaks
from mama_augment.keyframes.strategies.config import KeyFrameConfig


class Peaks(Strategy):
    """One key frame or more of every shot, the sharpest and stillest."""

    name = "peaks"
    help = "the sharpest frames of every shot; decodes the whole clip once"
    without_index = None

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        """See Strategy."""
        scan = clip.scan()
        peaks = find_peaks(scan.change_N, config)
        return Choice(strategy=self.name, frame_index=scan.best(peaks, config.num_frames))
