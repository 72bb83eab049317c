"""The strategy `iframes`: the frames that the codec stores whole."""

from __future__ import annotations

from mama_augment.keyframes.strategies.base import Choice, ClipView, Strategy
from mama_augment.keyframes.strategies.choose import choose_iframes
from mama_augment.keyframes.strategies.config import KeyFrameConfig


class IFrames(Strategy):
    """The codec's own intra frames, evenly thinned; the longest gaps are filled where few."""

    name = "iframes"
    help = "the codec's own intra frames; decodes little else"
    without_index = "uniform"

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        """See Strategy."""
        chosen = choose_iframes(clip.is_key, config.num_frames)
        return Choice(strategy=self.name, frame_index=chosen)
