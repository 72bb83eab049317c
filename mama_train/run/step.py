"""One training step: weights, now and then a meta step, the weighted gradient, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from mama_augment.core.draws import hash_salt
from mama_train import ranks
from mama_train.data.batch import Batch
from mama_train.errors import NonFiniteLossError
from mama_train.objective.config import LEARNED
from mama_train.objective.health import curve_every, effective_share, net_row, truth_row
from mama_train.objective.margins import MarginNow, angles_B, next_running_angle, share_at
from mama_train.objective.meta import MetaOutcome, VirtualStep, adamw_step, meta_gradient
from mama_train.objective.objective import SCALE, Encoded, Objective
from mama_train.objective.weighting import Weigher
from mama_train.run.history import Row, write_json
from mama_train.run.optim import clip_gradient, lr_at, scale_bounds, set_lr, take_step
from mama_train.run.setup import Setup
from mama_train.run.state import Progress


class Stepper:
    """Calls are steps; what they change is in the setup's trainee and in the progress."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.config = setup.config
        self.objective = Objective(
            setup.trainee.model,
            setup.config.loss,
            chunk=setup.config.compute.rows_per_pass,
            autocast=setup.autocast,
            compile=setup.config.compute.compile,
            contrast=setup.task.contrast,
        )
        layers = setup.config.meta.layers
        self.meta_names = None if layers is None else setup.trainee.model.upper_names(layers)
        meta, start = setup.meta, setup.progress.meta
        self.meta_batches = meta.batches(start, pinned=setup.on_gpu) if meta else None

    def __call__(self, batch: Batch, progress: Progress) -> Row:
        """Take one step on `batch`; returns its row of the history.

        Raises:
            NonFiniteLossError: a sample's loss, or a gradient, is NaN or infinite; neither model
                nor optimizer was changed.
        """
        trainee, optim, step = self.setup.trainee, self.setup.optim, progress.step
        lr = lr_at(step, self.setup.num_steps, optim)
        set_lr(trainee.optimizer, lr)
        # What dropout draws is a function of the seed, the step and the process alone.
        torch.manual_seed(hash_salt(self.config.seed, step, ranks.rank(), "dropout"))
        share = share_at(step, self.setup.num_steps, self.config.loss)
        self.objective.margin_now = MarginNow(share, progress.running_angle)
        # Whoever recomputes activations to save memory would not want products kept.
        is_meta = self._is_meta_step(step)
        tape = is_meta and not self.config.compute.gradient_checkpointing
        encoded = self.objective.encode(batch, for_jvp=tape, compiled=not is_meta)
        loss_B = encoded.loss_B.detach()
        bad = [batch.clip_ids[i] for i in torch.nonzero(~torch.isfinite(loss_B))[:, 0].tolist()]
        if bad:
            self._stop(f"the loss of {len(bad)} samples", bad, batch, step)
        weigh = Weigher(
            weighting=self.setup.weighting,
            net=trainee.net,
            frequency_B=batch.frequency_B,
            aligned_B=batch.aligned_B,
            progress=step / self.setup.num_steps,
        )
        outcome = self._train_net(encoded, weigh, progress, lr)
        if outcome is not None and outcome.gradient is not None:
            weight_B, gradient = outcome.weight_B, outcome.gradient
        else:
            weight_B = weigh(loss_B).detach()
            gradient = self.objective.gradient(encoded, weight_B, last=True)
        norm = clip_gradient(trainee.model, gradient, optim.clip_norm)
        if not math.isfinite(norm):
            self._stop("the gradient", [], batch, step)
        take_step(trainee.model, trainee.optimizer, max_logit_scale=optim.max_logit_scale)
        if trainee.average is not None:
            trainee.average.update(trainee.model, step)
        row = step_row(step + 1, lr, loss_B, weight_B, norm)
        angle_B = angles_B(encoded.video_BD, encoded.text_BD)
        progress.running_angle = next_running_angle(progress.running_angle, angle_B)
        row["positive_angle"] = float(angle_B.mean())
        row["logit_scale"] = float(trainee.model.logit_scale.detach().exp())
        row |= truth_row(weight_B, batch.aligned_B)
        if self.setup.weighting.kind in LEARNED:
            row |= net_row(trainee.net, loss_B, with_curve=self._records_curve(step + 1))
        return row | (meta_row(outcome) if outcome is not None else {})

    def _train_net(
        self, encoded: Encoded, weigh: Weigher, progress: Progress, lr: float
    ) -> MetaOutcome | None:
        """Step the weight net where this step does; a meta step says what it found."""
        if self.setup.weighting.kind == "mlp-joint":
            loss_B = encoded.loss_B.detach()
            grads = torch.autograd.grad((weigh(loss_B) * loss_B).sum(), weigh.theta())
            self._step_net(grads, encoded.batch, progress.step)
        if not self._is_meta_step(progress.step):
            return None
        assert self.meta_batches is not None
        progress.meta, meta_batch = next(self.meta_batches)
        optim = self.setup.optim
        update = adamw_step(
            self.setup.trainee.optimizer,
            self.objective.parameters(),
            clip_norm=optim.clip_norm,
            bounds={SCALE: scale_bounds(optim.max_logit_scale)},
        )
        outcome = meta_gradient(
            self.objective,
            encoded,
            meta_batch.to(encoded.loss_B.device),
            weigh,
            VirtualStep(lr=lr, update=update, names=self.meta_names),
            keep_gradient=self.config.meta.lagged,
        )
        # The factor α would make Adam forget how to move as the schedule shrinks it.
        self._step_net([g / lr for g in outcome.theta_gradient], encoded.batch, progress.step)
        return outcome

    def _is_meta_step(self, step: int) -> bool:
        return self.setup.weighting.kind == "mlp-meta" and step % self.config.meta.every == 0

    def _records_curve(self, step: int) -> bool:
        num = self.setup.num_steps
        return step % curve_every(num) == 0 or step == num

    def _step_net(self, gradient: Sequence[Tensor], batch: Batch, step: int) -> None:
        if not all(bool(torch.isfinite(grad).all()) for grad in gradient):
            self._stop("the gradient of the weight net", [], batch, step)
        for parameter, grad in zip(self.setup.trainee.net.parameters(), gradient, strict=True):
            parameter.grad = grad
        self.setup.trainee.net_optimizer.step()

    def _stop(self, what: str, bad: list[str], batch: Batch, step: int) -> NoReturn:
        """End the run. `bad`: the clips whose loss is not finite; a gradient is of all of them."""
        path = self.config.run_folder() / "nonfinite.json"
        if ranks.is_first():
            ids = {"bad_clips": bad, "batch": list(batch.clip_ids)}
            write_json(path, {"step": step, "what": what, **ids})
        raise NonFiniteLossError(
            f"{what} is NaN or infinite at step {step}; the batch's clip ids are in {path}. "
            "A lower --lr, or --set precision=fp32, usually helps; checkpoints are as they were"
        )


def step_row(step: int, lr: float, loss_B: Tensor, weight_B: Tensor, gradient_norm: float) -> Row:
    """What a step leaves in the history. `points` are (loss, weight · B) of every sample."""
    scaled_B = weight_B * len(weight_B)
    return {
        "kind": "step",
        "step": step,
        "lr": lr,
        "loss": float(loss_B.mean()),
        "gradient_norm": gradient_norm,
        "weight_min": float(scaled_B.min()),
        "weight_max": float(scaled_B.max()),
        "effective_share": effective_share(weight_B),
        "points": [
            [round(a, 4), round(b, 4)]
            for a, b in zip(loss_B.tolist(), scaled_B.tolist(), strict=True)
        ],
    }


def meta_row(outcome: MetaOutcome) -> Row:
    """The meta step's diagnostics: its loss, ‖dL_meta/dθ‖ and the correlation of s with ω."""
    norm = float(torch.stack([g.norm() for g in outcome.theta_gradient]).norm())
    s_B, weight_B = outcome.s_B.double().cpu(), outcome.weight_B.double().cpu()
    varies = len(s_B) > 1 and float(s_B.std()) > 0 and float(weight_B.std()) > 1e-12
    correlation = float(np.corrcoef(s_B.numpy(), weight_B.numpy())[0, 1]) if varies else None
    return {"meta_loss": outcome.meta_loss, "meta_norm": norm, "corr_s_weight": correlation}
