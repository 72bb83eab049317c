"""Settings of a run: the optimizer, where and how steps are computed, what is kept and shown."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Strict

from mama_augment.core.errors import InputError
from mama_train.checked import checked

Precision = Literal["fp32", "bf16"]
Schedule = Literal["cosine", "linear", "constant"]


@checked
class OptimConfig:
    """AdamW, its schedule, and the bounds on what a step may do."""

    lr: Annotated[float, Gt(0)] | None = None
    """Peak learning rate; by default, 1e-3 for models that are made to be trained from nothing
    (`small`, `heads`, also when --init continues them), and 1e-5 for CLIP-ViP, CLIP and SigLIP."""
    lr_new: Annotated[float, Gt(0)] = 1.0
    """Factor on the learning rate of parts that start anew beside given weights: the adapters of
    --lora, or the proxies and the temporal table of CLIP-ViP on the weights of a plain CLIP."""
    layer_decay: Annotated[float, Gt(0), Le(1)] = 1.0
    """Factor on the learning rate for each block further from the top of a tower: 1 trains all
    alike, 0.9 the lower blocks more slowly. What is above the blocks, and what starts anew, has the
    full one."""
    weight_decay: Annotated[float, Ge(0)] = 0.05
    """Decoupled weight decay of matrices; norms, biases and embedding tables have none."""
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Decay of AdamW's first moment."""
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.98
    """Decay of AdamW's second moment."""
    warmup: Annotated[float, Ge(0)] = 0.1
    """Steps in which the learning rate rises to its peak: below 1 a share of the run's, from 1 on
    their number."""
    schedule: Schedule = "cosine"
    """How the learning rate goes on from its peak: it falls by half a cosine (cosine) or in a
    straight line (linear), or it stays (constant)."""
    lr_floor: Annotated[float, Ge(0), Le(1)] = 0.0
    """What the learning rate falls to at the end of the run, as a share of its peak."""
    clip_norm: Annotated[float, Gt(0)] = 1.0
    """Scale down gradients whose norm is larger than this."""
    max_logit_scale: Annotated[float, Ge(1)] = 100.0
    """Upper bound of the inverse temperature; the lower one is 1."""
    ema_decay: Annotated[float, Gt(0), Lt(1)] | None = None
    """Keep a moving average of the model with this decay, and evaluate and save that one; by
    default none."""

    def __post_init__(self) -> None:
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise InputError(
                f"warmup is {self.warmup:g}; give a share below 1, or a whole number of steps"
            )


@checked
class ComputeConfig:
    """Where and how a step is computed: speed and memory, but for rounding not the result."""

    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    precision: Precision = "fp32"
    """bf16 runs the encoders under autocast; parameters, optimizer, loss and V stay in fp32."""
    rows_per_pass: Annotated[int, Gt(0)] | None = None
    """Encode this many captions at a time and keep only their embeddings (cached features); by
    default, the whole batch at once."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    compile: bool = False
    """Compile the encoders' passes of training (torch.compile) in steps without a meta step, whose
    forward-mode pass cannot be; the results differ by rounding. Not with --rows-per-pass."""


@checked
class SaveConfig:
    """When a run evaluates and saves."""

    eval_every: Annotated[int, Gt(0)] | None = None
    """Steps between evaluations on the val split; by default, one per epoch. One comes before the
    first step."""
    eval_shards: Annotated[tuple[str, ...], Strict(False)] = ()
    """More shards whose test split is evaluated at the end; may be given several times."""
    save_every: Annotated[int, Gt(0)] | None = None
    """Steps between checkpoints; by default, one per epoch."""
    keep: Annotated[int, Gt(0)] = 1
    """How many of the last checkpoints stay; the best one stays besides."""


@checked
class WatchConfig:
    """Where the curves of a run go, besides its own history."""

    tensorboard: bool = True
    """Write scalars for TensorBoard into the run's folder."""
    wandb: bool = False
    """Send scalars to Weights & Biases; its package must be installed and logged in."""
