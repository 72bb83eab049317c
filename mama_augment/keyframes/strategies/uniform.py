"""The strategy `uniform`: the middles of even parts of the clip."""

from __future__ import annotations

from mama_augment.keyframes.strategies.base import Choice, ClipView, Strategy
from mama_augment.keyframes.strategies.choose import choose_uniform
from mama_augment.keyframes.strategies.config import KeyFrameConfig


class Uniform(Strategy):
    """Even places; a clip without an index is scanned, for nobody knows its length before."""

    name = "uniform"
    help = "even places, whatever is seen there; decodes the groups they are in"
    without_index = None

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        """See Strategy."""
        if clip.is_indexed:
            chosen = choose_uniform(clip.num_frames, config.num_frames)
        else:
            chosen = clip.scan().best([0], config.num_frames)
        return Choice(strategy=self.name, frame_index=chosen)
