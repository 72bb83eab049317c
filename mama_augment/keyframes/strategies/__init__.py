"""Ways to choose a clip's key frames: one file each, and one line here.

`base` says what a strategy is. What several of them use lies beside them: `choose` (arrays in,
frame indices out), `packet_signal`, and the `scan` of a clip with its `reservoir`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mama_augment.core.registry import Registry

if TYPE_CHECKING:
    from mama_augment.keyframes.strategies.base import Strategy

STRATEGIES: Registry[type[Strategy]] = Registry(
    "--strategy",
    {
        "peaks": "mama_augment.keyframes.strategies.peaks:Peaks",
        "packets": "mama_augment.keyframes.strategies.packets:Packets",
        "iframes": "mama_augment.keyframes.strategies.iframes:IFrames",
        "uniform": "mama_augment.keyframes.strategies.uniform:Uniform",
        "auto": "mama_augment.keyframes.strategies.auto:Auto",
    },
)
