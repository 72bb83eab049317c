"""The detector's own state of each region; a frame's vector is the mean of its regions'."""

from __future__ import annotations

from collections.abc import Sequence

from mama_augment.regions.base import Floats, Found, Image


class States:
    """See `base.Vectors`."""

    def of(self, frames: Sequence[Image], found: Sequence[Found]) -> list[tuple[Floats, Floats]]:
        width = max(regions.states_NW.shape[-1] for regions in found)
        given = [regions.states_NW.reshape(-1, width) for regions in found]
        return [(states, states.mean(0) if len(states) else states.sum(0)) for states in given]
