"""What a strategy is: a clip that can be looked at in, the indices of its key frames out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from mama_augment.keyframes.strategies.config import KeyFrameConfig

if TYPE_CHECKING:
    from mama_augment.decode.packets import PacketIndex
    from mama_augment.keyframes.strategies.scan import Scan


class ClipView(Protocol):
    """What a strategy sees of a clip of N frames, which count from its first in display order."""

    @property
    def is_indexed(self) -> bool:
        """Whether the container tells which frames there are, and has proved right so far."""
        ...

    @property
    def num_frames(self) -> int:
        """N: by the container, and once the clip is scanned as it was found."""
        ...

    @property
    def fps(self) -> float:
        """Frames a second, a usual rate where the container says none."""
        ...

    @property
    def is_key(self) -> npt.NDArray[np.bool_]:
        """[N], whether decoding can start from the frame."""
        ...

    @property
    def packets(self) -> PacketIndex:
        """Every packet of the video in decode order."""
        ...

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """[N], where in `packets` each frame is."""
        ...

    def scan(self) -> Scan:
        """Decode the clip once: its change signal, and candidates whose pictures are kept.

        Raises:
            ClipError: no frame can be decoded, or there are too few.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which frames, ascending, and by which strategy in the end."""

    strategy: str
    frame_index: list[int]


class Strategy(Protocol):
    """A way to choose; stateless, made anew for every clip."""

    name: ClassVar[str]
    help: ClassVar[str]
    """One line for those who choose a strategy."""
    without_index: ClassVar[str | None]
    """The strategy that takes over where the container's index is missing, or promised frames that
    the decoder does not give. None: this one works without an index."""

    def choose(self, clip: ClipView, config: KeyFrameConfig) -> Choice:
        """`config.num_frames` frames, or all where there are no more."""
        ...
