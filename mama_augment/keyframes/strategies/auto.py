"""The strategy `auto`: `packets` where the container tells enough about shots, else `peaks`."""

from __future__ import annotations

import numpy as np

from mama_augment.keyframes.strategies.base import Choice, ClipView, Strategy
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.keyframes.strategies.packets import Packets
from mama_augment.keyframes.strategies.peaks import Peaks

GAP_SECONDS = 5.0
"""The container alone is trusted only if intra frames are never further apart."""


class Auto(Strategy):
    """Decides for each clip; a row records what was decided."""

    name = "auto"
    help = "packets where intra frames are dense, else peaks"
    without_index = "peaks"

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        """See Strategy."""
        strategy = Packets() if _tells_enough(clip, config.num_frames) else Peaks()
        return strategy.choose(clip, config)


def _tells_enough(clip: ClipView, num_wanted: int) -> bool:
    keys = np.flatnonzero(clip.is_key)
    has_enough = len(keys) >= num_wanted
    # Where every frame is intra, sizes say little about change.
    is_telling = len(keys) < clip.num_frames
    gap = GAP_SECONDS * clip.fps
    is_dense = np.diff(keys, append=clip.num_frames).max(initial=0) <= gap
    return bool(has_enough and is_telling and is_dense)
