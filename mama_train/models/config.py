"""Settings of the model: which one it is, and how many frames it sees."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Gt

from mama_augment.core.fields import Named
from mama_train.checked import checked
from mama_train.models.towers import TowerKind, parse_towers

SMALL = "small"
HEADS = "heads"
VIOLET_TINY = "violet-tiny"
VGT_TINY = "vgt-tiny"
FROM_NOTHING = (SMALL, HEADS, VIOLET_TINY, VGT_TINY)
"""The models that are trained from nothing; every other one has weights to start from."""
Linking = Literal["one-to-one", "published", "none"]
ATTENTION = "q_proj,v_proj"
"""What LoRA adapts by default, as its paper does: the queries and values of attention."""


@checked
class ModelConfig:
    """The model that is trained, and how many frames of a clip it sees."""

    name: Annotated[str, Named("model")] = SMALL
    """`small`, trained from nothing; `heads`, the same on the shards' features in place of frames;
    an alias such as clip-vip-b32; or a folder of CLIP-ViP, CLIP, SigLIP or SigLIP 2 weights, or of
    `mama-train export`. `clip-mean:` in front averages the frames of a CLIP. `violet-tiny` and
    `vgt-tiny` are small ones of these models, trained from nothing; `violet:` or `vgt:` in front of
    a folder takes published weights of theirs."""
    init: str | None = None
    """A run, a checkpoint or an exported folder to start from. Alone, it brings its whole model,
    with its words; with a --model that has weights, what fits that one by name and shape is taken
    over, and the rest is named."""
    num_frames: Annotated[int, Gt(0)] | None = None
    """Frames per clip; by default, as many as the model is made for, and with `heads` as many as
    the first clip has vectors."""
    features_column: str = "features"
    """The shards' column of vectors that `heads` reads: a list of vectors per clip, or one."""
    regions_column: str = "regions"
    """The shards' column of regions that VGT reads."""
    linking: Linking = "one-to-one"
    """How the regions of a clip's frames become tracks, for VGT: each in one track (one-to-one), as
    in the published code (published), or as they stand (none)."""
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
    lora: Annotated[int, Gt(0)] | None = None
    """Train adapters of this rank (LoRA) in the towers in place of their weights. Checkpoints and
    exports hold the sums, so that they are models as any other."""
    lora_alpha: Annotated[int, Gt(0)] | None = None
    """Adapters count by this number divided by their rank; by default, by 1."""
    lora_vision: str = ATTENTION
    """Linear layers of the vision tower that have adapters, by the last part of their names,
    separated by commas; with none, that tower is trained as a whole."""
    lora_text: str = ATTENTION
    """The same of the text tower."""

    def __post_init__(self) -> None:
        parse_towers(self.freeze)

    def lora_targets(self, kind: TowerKind) -> tuple[str, ...]:
        """The names of a tower's layers that have adapters."""
        text = self.lora_vision if kind == "vision" else self.lora_text
        return tuple(name.strip() for name in text.split(",") if name.strip())

    @property
    def frozen_towers(self) -> tuple[TowerKind, ...]:
        """What `freeze` and `lock_image` say together."""
        return parse_towers(self.freeze + (",vision" if self.lock_image else ""))
