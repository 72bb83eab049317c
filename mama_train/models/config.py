"""Settings of the model: which one it is, and how many frames it sees."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt

from mama_augment.core.fields import Named
from mama_train.checked import checked

SMALL = "small"
"""The name of the model that is trained from nothing; every other one has weights to start from."""


@checked
class ModelConfig:
    """The model that is trained, and how many frames of a clip it sees."""

    name: Annotated[str, Named("model")] = SMALL
    """`small`, trained from nothing; an alias such as clip-vip-b32; or a folder of CLIP-ViP, CLIP
    or SigLIP weights. `clip-mean:` in front averages the frames of a CLIP."""
    num_frames: Annotated[int, Gt(0)] | None = None
    """Frames per clip; by default, as many as the model is made for."""

    @property
    def usual_lr(self) -> float:
        """The peak learning rate where none is given: from nothing large, from weights small."""
        return 1e-3 if self.name == SMALL else 1e-5
