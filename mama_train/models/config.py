"""Settings of the model: which one it is, and how many frames it sees."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt

from mama_augment.core.fields import Named
from mama_train.checked import checked
from mama_train.models.towers import TowerKind, parse_towers

SMALL = "small"
HEADS = "heads"
FROM_NOTHING = (SMALL, HEADS)
"""The models that are trained from nothing; every other one has weights to start from."""


@checked
class ModelConfig:
    """The model that is trained, and how many frames of a clip it sees."""

    name: Annotated[str, Named("model")] = SMALL
    """`small`, trained from nothing; `heads`, the same on the shards' features in place of frames;
    an alias such as clip-vip-b32; or a folder of CLIP-ViP, CLIP or SigLIP weights. `clip-mean:` in
    front averages the frames of a CLIP."""
    num_frames: Annotated[int, Gt(0)] | None = None
    """Frames per clip; by default, as many as the model is made for, and with `heads` as many as
    the first clip has vectors."""
    features_column: str = "features"
    """The shards' column of vectors that `heads` reads: a list of vectors per clip, or one."""
    heads_hidden: Annotated[int, Gt(0)] = 256
    """Hidden units of each head of `heads`."""
    heads_dim: Annotated[int, Gt(0)] = 64
    """Dimensions of the space that the heads map to."""
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
        return 1e-3 if self.name in FROM_NOTHING else 1e-5
