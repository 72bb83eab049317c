"""Settings of the model: which one it is, and how many frames it sees."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt

from mama_augment.core.fields import Named
from mama_train.checked import checked
from mama_train.models.towers import TowerKind, parse_towers

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
    freeze: str = ""
    """Towers that are not trained, with their projections, separated by commas: vision, text. By
    default, none."""
    lock_image: bool = False
    """Freeze the vision tower, as LiT does: the text tower learns to fit its vectors."""
    freeze_logit_scale: bool = False
    """Leave the inverse temperature as it is at the start."""

    def __post_init__(self) -> None:
        parse_towers(self.freeze)

    @property
    def frozen_towers(self) -> tuple[TowerKind, ...]:
        """What `freeze` and `lock_image` say together."""
        return parse_towers(self.freeze + (",vision" if self.lock_image else ""))

    @property
    def usual_lr(self) -> float:
        """The peak learning rate where none is given: from nothing large, from weights small."""
        return 1e-3 if self.name == SMALL else 1e-5
