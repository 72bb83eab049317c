"""`train()`: one run from shards to a checkpoint and its metrics, readable from top to bottom."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mama_train import checkpoint, ranks
from mama_train.batch import Batch
from mama_train.checkpoint import Progress, Trainee
from mama_train.config import TrainConfig
from mama_train.evaluate import evaluate
from mama_train.history import History, Row, write_json
from mama_train.meta import MetaOutcome, adamw_preconditioner, meta_gradient
from mama_train.objective import Objective
from mama_train.optim import apply_gradient, lr_at, set_lr
from mama_train.setup import Setup, prepare
from mama_train.watch import Watch


class NonFiniteLossError(RuntimeError):
    """The run cannot go on: its loss is no number any more."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """`metrics` is what `metrics.json` holds: best_step, num_steps, seconds, samples_per_second,
    val and test (as `evaluate` gives them, or None where skipped), weights, notes."""

    out: str
    metrics: dict[str, Any]


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> TrainResult:
    """Train as `config` says and evaluate the best checkpoint on the test split.

    Raises:
        InputError: shards, model or settings do not fit; or the run folder is in use.
        NonFiniteLossError: the loss became NaN or infinite; the clip ids are in nonfinite.json.
        KeyboardInterrupt: after saving a checkpoint that `--resume` continues from.
    """
    watch = watch or Watch()
    setup = prepare(config, resume=resume, overwrite=overwrite)
    for note in setup.notes:
        watch.note(note)
    trainee, progress, run = setup.trainee, setup.progress, config.run_folder()
    history = History(run, keep_up_to=progress.step) if ranks.is_first() else None
    step_fn = Stepper(setup)
    batches = setup.train.batches(progress.data)
    started, num_samples, first_step = time.monotonic(), 0, progress.step
    pending: list[Row] = []
    watch.begin(first_step, setup.num_steps)
    try:
        while progress.step < setup.num_steps:
            after, batch = next(batches)
            row = step_fn(batch.to(setup.device), progress)
            progress.step += 1
            progress.data = after
            num_samples += batch.num_rows
            pending.append(row)
            watch.step(row, batch.num_rows)
            if setup.is_due(config.eval_every, progress.step):
                pending += _evaluate_and_remember(setup, progress, watch)
                if setup.best_is_new:
                    _save(setup, history, pending)
            if setup.is_due(config.save_every, progress.step):
                _save(setup, history, pending)
    except KeyboardInterrupt:
        _save(setup, history, pending)
        watch.note(f"stopped at step {progress.step}; `--resume` continues from there")
        raise
    finally:
        watch.end()
    seconds = time.monotonic() - started
    _save(setup, history, pending)
    metrics = _final_metrics(setup)
    metrics |= {
        "num_steps": progress.step,
        "seconds": round(seconds, 2),
        "samples_per_second": round(num_samples / max(seconds, 1e-9), 1),
    }
    if ranks.is_first():
        write_json(run / "metrics.json", metrics)
    trainee.model.eval()
    return TrainResult(out=config.out, metrics=metrics)


class Stepper:
    """One training step: weights, now and then a meta step, the weighted gradient, AdamW."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.config = setup.config
        self.weighting = dataclasses.replace(setup.config.weighting(), kind=setup.weights)
        self.objective = Objective(
            setup.trainee.model,
            setup.config.loss(),
            chunk=setup.config.rows_per_pass,
            autocast=setup.config.autocast(),
        )
        layers = setup.config.meta_layers
        self.meta_names = None if layers is None else setup.trainee.model.upper_names(layers)
        meta = setup.meta
        self.meta_batches = meta.batches(setup.progress.meta) if meta else None

    def __call__(self, batch: Batch, progress: Progress) -> Row:
        trainee, config = self.setup.trainee, self.config
        lr = lr_at(progress.step, self.setup.num_steps, config)
        set_lr(trainee.optimizer, lr)
        encoded = self.objective.encode(batch)
        loss_B = encoded.loss_B.detach()
        self._stop_if_not_finite(loss_B, batch, progress.step)

        def weigh(losses_B: Tensor) -> Tensor:
            return self.weighting.weights_B(
                losses_B,
                net=trainee.net,
                frequency_B=batch.frequency_B,
                progress=progress.step / self.setup.num_steps,
            )

        outcome = None
        if self.setup.weights == "mlp-meta" and progress.step % config.meta_every == 0:
            assert self.meta_batches is not None
            progress.meta, meta_batch = next(self.meta_batches)
            outcome = meta_gradient(
                self.objective,
                encoded,
                meta_batch.to(loss_B.device),
                trainee.net,
                weigh,
                lr=lr,
                preconditioner=adamw_preconditioner(trainee.optimizer, self.objective.parameters()),
                names=self.meta_names,
                keep_gradient=config.lagged,
            )
            self._step_net(outcome.theta_gradient)
        elif self.setup.weights == "mlp-joint":
            joint = (weigh(loss_B) * loss_B).sum()
            self._step_net(torch.autograd.grad(joint, list(trainee.net.parameters())))
        if outcome is not None and outcome.gradient is not None:
            weight_B, gradient = outcome.weight_B, outcome.gradient
        else:
            weight_B = weigh(loss_B).detach()
            gradient = self.objective.gradient(encoded, weight_B)
        norm = apply_gradient(trainee.model, trainee.optimizer, gradient, config)
        if trainee.average is not None:
            trainee.average.update(trainee.model, progress.step)
        row = step_row(progress.step + 1, lr, loss_B, weight_B, norm)
        row["logit_scale"] = float(trainee.model.logit_scale.detach().exp())
        return row | (meta_row(outcome) if outcome is not None else {})

    def _step_net(self, gradient: Any) -> None:
        for parameter, grad in zip(self.setup.trainee.net.parameters(), gradient, strict=True):
            parameter.grad = grad
        self.setup.trainee.net_optimizer.step()

    def _stop_if_not_finite(self, loss_B: Tensor, batch: Batch, step: int) -> None:
        if torch.isfinite(loss_B).all():
            return
        bad = [batch.clip_ids[i] for i in torch.nonzero(~torch.isfinite(loss_B))[:, 0].tolist()]
        path = self.config.run_folder() / "nonfinite.json"
        if ranks.is_first():
            write_json(path, {"step": step, "bad_clips": bad, "batch": list(batch.clip_ids)})
        raise NonFiniteLossError(
            f"the loss of {len(bad)} samples is NaN or infinite at step {step}; the batch's clip "
            f"ids are in {path}. A lower --lr, or --precision fp32, usually helps"
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


def _evaluate_and_remember(setup: Setup, progress: Progress, watch: Watch) -> list[Row]:
    """Evaluate on val; a new best is saved at once."""
    val = setup.val
    if val is None:
        return []
    metrics = setup.with_average(
        lambda: evaluate(setup.trainee.model, val, setup.concepts, autocast=setup.autocast)
    )
    score = metrics["text_to_video"]["R@1"]
    if progress.best_score is None or score > progress.best_score:
        progress.best_score, progress.best_step = score, progress.step
        setup.best_is_new = True
    watch.evaluated(progress.step, metrics)
    return [{"kind": "eval", "split": "val", "step": progress.step, **metrics}]


def _save(setup: Setup, history: History | None, pending: list[Row]) -> None:
    """History first: a row for a step that is not saved is dropped again on resuming."""
    if history is not None:
        history.add(pending)
        is_best = setup.best_is_new or setup.val is None
        checkpoint.save(
            setup.config.run_folder(), setup.trainee, setup.progress, setup.config, best=is_best
        )
    setup.best_is_new = False
    pending.clear()
    ranks.barrier()


def _final_metrics(setup: Setup) -> dict[str, Any]:
    """Metrics of the best checkpoint (of the last one without val) on val and test."""
    run, progress = setup.config.run_folder(), setup.progress
    model: Trainee = setup.trainee
    best = checkpoint.find_checkpoint(str(run), which="best")
    if progress.best_step not in (None, progress.step) or model.average is not None:
        checkpoint.load_model_into(best, model.model)
    found = {
        name: None
        if clips is None
        else evaluate(model.model, clips, setup.concepts, autocast=setup.autocast)
        for name, clips in (("val", setup.val), ("test", setup.test))
    }
    run_step = json.loads((best / "run.json").read_text())["progress"]["step"]
    return {"best_step": run_step, "weights": setup.weights, "notes": setup.notes, **found}
