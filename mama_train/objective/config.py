"""Settings of the objective: the margin, the weights, the meta step.

Imports no torch, so that `mama-train --help` need not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from mama_augment.core.errors import InputError
from mama_augment.core.fields import Named
from mama_train.checked import checked

if TYPE_CHECKING:
    from torch import Tensor

MarginKind = Literal["subtractive", "none", "additive", "cosine"]
BelowKind = Literal["clamp", "reflect"]
RegionKind = Literal["all", "acute"]
RuleKind = Literal["fixed", "agreement", "running"]
WeightKind = Literal[
    "mlp-meta", "mlp-joint", "focal", "self-paced", "inverse-frequency", "oracle", "none"
]
WeightOutput = Literal["exp", "sigmoid"]
LEARNED: tuple[WeightKind, ...] = ("mlp-meta", "mlp-joint")


@checked
class MarginLoss:
    """The contrastive loss with an angular margin μ on the positive pairs (arXiv 2407.03788)."""

    kind: Annotated[MarginKind, Named("margin_kind")] = "subtractive"
    """Where the margin goes: off the angle of a pair (subtractive, the paper's), onto it
    (additive, as ArcFace), off its cosine (cosine, as CosFace), or nowhere (none)."""
    nats: Annotated[float, Gt(0), Named("margin_nats")] = 0.6
    """The margin as a head start: μ is what lowers the loss of a pair at an angle of 1 rad by this
    many nats at the present inverse temperature, or by as much of them as an angle can give."""
    margin: Annotated[float, Ge(0), Lt(1.5)] | None = None
    """Margin μ in radians (for the cosine kind, in cosine), in place of --margin-nats. The larger
    the model's inverse temperature, the more it weighs."""
    region: Annotated[RegionKind, Named("margin_region")] = "all"
    """Which positive pairs have a margin: all, or those at an acute angle (up to π/2) only, as the
    paper states it."""
    rule: Annotated[RuleKind, Named("margin_rule")] = "fixed"
    """One μ for all pairs (fixed), or more of it for pairs that fit less: by the agreement score
    of the shards' captions (agreement), or by the pair's angle beside the running mean of all
    angles (running)."""
    warmup: Annotated[float, Ge(0), Le(1), Named("margin_warmup")] = 0.0
    """Share of the steps in which the margin grows from 0 to its full size."""
    below: BelowKind = "clamp"
    """What happens to pairs closer than the margin: they are left alone (clamp), or pushed back to
    it (reflect)."""

    def __call__(
        self,
        video_BD: Tensor,
        text_BD: Tensor,
        log_scale: Tensor,
        *,
        margin_B: Tensor | None = None,
        same_BB: Tensor | None = None,
    ) -> Tensor:
        """loss_B of the batch; see `contrastive_loss_B`. `rule` and `warmup` are a run's, which
        gives `margin_B` by them."""
        from mama_train.objective.losses import contrastive_loss_B

        return contrastive_loss_B(
            video_BD, text_BD, log_scale, self, margin_B=margin_B, same_BB=same_BB
        )


@checked
class Weighting:
    """How the samples of a batch are weighted, and how the weight net V is trained."""

    kind: Annotated[WeightKind, Named("weights")] = "mlp-meta"
    """Where weights come from: V, trained by meta steps (mlp-meta) or along with the model
    (mlp-joint); a function of the loss (focal, self-paced); how rare a caption's rarest concept is
    (inverse-frequency); the truth, where a made world's shards tell it: 0 for captions of other
    clips (oracle); or all the same (none)."""
    normalised: bool = True
    """Weights sum to one over the batch. Without this, they may all drift to zero together."""
    output: Annotated[WeightOutput, Named("weight_output")] = "exp"
    """What V's last layer becomes: exp, whose normalised weights are a softmax over the batch; or
    sigmoid, as the paper has it, which can reach 1 for every loss and stay there."""
    hidden: Annotated[int, Gt(0), Named("weight_hidden")] = 64
    """Hidden units of V."""
    lr: Annotated[float, Gt(0), Named("weight_lr")] = 1e-2
    """Learning rate of V."""
    decay: Annotated[float, Ge(0), Named("weight_net_decay")] = 0.0
    """Decoupled weight decay of V: it draws weights towards equal ones."""
    gamma: Annotated[float, Ge(0)] = 2.0
    """Exponent of the focal weights."""
    pace: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of the batch that self-paced learning admits at the start; it grows to all of it."""

    def __post_init__(self) -> None:
        if self.kind in LEARNED and not self.normalised and self.output == "exp":
            raise InputError(
                "normalised is false, but weights of weight_output exp have no upper bound of "
                "their own; give weight_output=sigmoid, or normalise them"
            )


@checked
class MetaConfig:
    """When and how the meta step trains the weight net V (mlp-meta)."""

    every: Annotated[int, Gt(0), Named("meta_every")] = 4
    """Steps from one meta step to the next; 1 takes one in every step."""
    batch_size: Annotated[int, Ge(2), Named("meta_batch_size")] | None = None
    """Captions per meta batch, over all processes together; by default, as many as per training
    batch."""
    layers: Annotated[int, Gt(0), Named("meta_layers")] | None = None
    """Blocks of each tower, counted from the top, that take the virtual step; by default all."""
    lagged: bool = False
    """Take the real step with the weights from before the meta step, which saves a backward
    pass."""
