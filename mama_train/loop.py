"""`train()`: one run from shards to a checkpoint and its metrics, readable from top to bottom."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from mama_augment.store import locked
from mama_train import checkpoint, interrupt, ranks
from mama_train.config import TrainConfig
from mama_train.errors import NonFiniteLossError
from mama_train.evaluate import evaluate
from mama_train.history import History, Row, write_json
from mama_train.setup import Setup, prepare
from mama_train.step import Stepper
from mama_train.watch import Watch

__all__ = ["NonFiniteLossError", "TrainResult", "train"]

STOPPING = "stopping after this step; Ctrl-C again stops at once, without saving"


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
        NonFiniteLossError: the loss or a gradient became NaN or infinite; the clip ids are in
            nonfinite.json, and history.jsonl has the steps until then.
        KeyboardInterrupt: after Ctrl-C, at the end of the step and with a checkpoint saved; after
            a second Ctrl-C, at once and without.
    """
    ranks.start(config.torch_device())
    with locked(config.run_folder()) if ranks.is_first() else nullcontext():
        return _train(config, resume, overwrite, watch or Watch())


def _train(config: TrainConfig, resume: bool, overwrite: bool, watch: Watch) -> TrainResult:
    setup = prepare(config, resume=resume, overwrite=overwrite)
    for note in setup.notes:
        watch.note(note)
    run = _Run(setup, watch)
    started = time.monotonic()
    watch.begin(setup.progress.step, setup.num_steps)
    try:
        with interrupt.deferred(lambda: watch.note(STOPPING)) as asked:
            num_samples, stopped = run.take_steps(asked)
        seconds = time.monotonic() - started
        run.save()
        if stopped:
            watch.note(f"stopped at step {setup.progress.step}; `--resume` continues from there")
            raise KeyboardInterrupt
    except NonFiniteLossError:
        run.flush()
        raise
    finally:
        watch.end()
    metrics = _final_metrics(setup) | {
        "num_steps": setup.progress.step,
        "seconds": round(seconds, 2),
        "samples_per_second": round(num_samples / max(seconds, 1e-9), 1),
    }
    if ranks.is_first():
        write_json(config.run_folder() / "metrics.json", metrics)
    setup.trainee.model.eval()
    return TrainResult(out=config.out, metrics=metrics)


class _Run:
    """A run under way: takes steps, evaluates, saves."""

    def __init__(self, setup: Setup, watch: Watch) -> None:
        self.setup, self.watch = setup, watch
        folder, step = setup.config.run_folder(), setup.progress.step
        self.history = History(folder, keep_up_to=step) if ranks.is_first() else None
        self.pending: list[Row] = []

    def take_steps(self, asked: interrupt.Interrupt) -> tuple[int, bool]:
        """Steps until the end of the run, or until someone is asked to stop.

        Returns how many samples they took, and whether it was asked to stop.
        """
        setup, progress, config = self.setup, self.setup.progress, self.setup.config
        stepper, num_samples = Stepper(setup), 0
        batches = setup.train.batches(progress.data)
        stopped = False
        while progress.step < setup.num_steps and not stopped:
            after, batch = next(batches)
            row = stepper(batch.to(setup.device), progress)
            progress.step += 1
            progress.data = after
            num_samples += batch.num_rows
            self.pending.append(row)
            self.watch.step(row, batch.num_rows)
            if setup.is_due(config.eval_every, progress.step) and self.evaluate():
                self.save(is_best=True)
            elif setup.is_due(config.save_every, progress.step):
                self.save()
            # All ranks stop after the same step, whichever of them was asked during it.
            stopped = ranks.any_rank(asked.asked, setup.device)
        return num_samples, stopped

    def evaluate(self) -> bool:
        """Evaluate on val, where there is one; whether it is the best so far."""
        setup, progress, val = self.setup, self.setup.progress, self.setup.val
        if val is None:
            return False
        metrics = setup.with_average(
            lambda: evaluate(setup.trainee.model, val, setup.concepts, autocast=setup.autocast)
        )
        self.watch.evaluated(progress.step, metrics)
        self.pending.append({"kind": "eval", "split": "val", "step": progress.step, **metrics})
        score = metrics["text_to_video"]["R@1"]
        if progress.best_score is not None and score <= progress.best_score:
            return False
        progress.best_score, progress.best_step = score, progress.step
        return True

    def save(self, *, is_best: bool = False) -> None:
        """History first: a row of a step that is not saved is dropped again on resuming."""
        setup = self.setup
        self.flush()
        if self.history is not None:
            is_best = is_best or setup.val is None
            folder, progress = setup.config.run_folder(), setup.progress
            checkpoint.save(folder, setup.trainee, progress, setup.config, best=is_best)
        ranks.barrier()

    def flush(self) -> None:
        """Write the rows that the history lacks."""
        if self.history is not None:
            self.history.add(self.pending)
        self.pending.clear()


def _final_metrics(setup: Setup) -> dict[str, Any]:
    """Metrics of the best checkpoint (of the last one without val) on val and test."""
    run, progress = setup.config.run_folder(), setup.progress
    trainee = setup.trainee
    best = checkpoint.find_checkpoint(str(run), which="best")
    if progress.best_step not in (None, progress.step) or trainee.average is not None:
        checkpoint.load_model_into(best, trainee.model)
    found = {
        name: None
        if clips is None
        else evaluate(trainee.model, clips, setup.concepts, autocast=setup.autocast)
        for name, clips in (("val", setup.val), ("test", setup.test))
    }
    run_step = json.loads((best / "run.json").read_text())["progress"]["step"]
    return {"best_step": run_step, "weights": setup.weights, "notes": setup.notes, **found}
