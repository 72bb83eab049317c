"""`train()`: one run from shards to a checkpoint and its metrics, readable from top to bottom."""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from mama_augment.core.store.files import write_whole
from mama_augment.core.store.lock import locked
from mama_train import ranks
from mama_train.config import TrainConfig
from mama_train.data.index import read_concepts
from mama_train.data.source import BatchSource
from mama_train.errors import NonFiniteLossError
from mama_train.measure.headline import headline
from mama_train.objective.config import LEARNED
from mama_train.objective.health import net_health
from mama_train.run import checkpoint, interrupt
from mama_train.run.device import torch_device
from mama_train.run.folder import finished_metrics
from mama_train.run.history import History, Row, read_history, write_json
from mama_train.run.setup import Setup, prepare
from mama_train.run.step import Stepper
from mama_train.run.watch import Watch
from mama_train.start.own import OwnModel

__all__ = ["NonFiniteLossError", "TrainResult", "train"]

QUERIES_NAME = "test_queries.json"
"""The rank of every query of the test split, by direction."""
STOPPING = "stopping after this step; Ctrl-C again stops at once, without saving"


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """`metrics` is what `metrics.json` holds: task, best_step, logit_scale (its inverse
    temperature), num_steps, seconds, samples_per_second,
    val and test (as the task gives them, or None where skipped), val_at_start (val before the
    first step), eval_shards (further test splits by name), weights, weight_net (a `NetHealth`, or
    None without a weight net), notes."""

    out: str
    metrics: dict[str, Any]


def train(
    config: TrainConfig,
    *,
    model: OwnModel | None = None,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> TrainResult:
    """Train as `config` says and evaluate the best checkpoint on the test split.

    `model`: one of your own, in place of the one that `config.model` names; its weights are trained
    in place, and to continue the run, give one of the same kind again.

    A run of the same settings in the folder continues; a finished one is left as it is, or
    lengthened where `steps` or `epochs` ask for more. `resume` only wins over `overwrite`.

    Raises:
        InputError: shards, model or settings do not fit; or the run folder is in use, or holds a
            run of other settings or data.
        NonFiniteLossError: the loss or a gradient became NaN or infinite; the clip ids are in
            nonfinite.json, and history.jsonl has the steps until then.
        KeyboardInterrupt: after Ctrl-C, at the end of the step and with a checkpoint saved; after
            a second Ctrl-C, at once and without.
    """
    if model is not None:
        config = dataclasses.replace(
            config, model=dataclasses.replace(config.model, name=model.name)
        )
    ranks.start(torch_device(config.compute.device))
    with locked(config.run_folder()) if ranks.is_first() else nullcontext():
        return _train(config, model, overwrite and not resume, watch or Watch())


def _train(config: TrainConfig, own: OwnModel | None, overwrite: bool, watch: Watch) -> TrainResult:
    setup = prepare(config, own=own, overwrite=overwrite)
    for note in setup.notes:
        watch.note(note)
    progress = setup.progress
    if progress.step >= setup.num_steps and (metrics := finished_metrics(config.run_folder())):
        watch.note(f"the run is finished (step {progress.step}); it is left as it is")
        return TrainResult(out=config.out, metrics=metrics)
    run = _Run(setup, watch)
    watch.begin(setup.progress.step, setup.num_steps)
    try:
        with interrupt.deferred(lambda: watch.note(STOPPING)) as asked:
            stopped = run.take_steps(asked)
        if run.saved_step != progress.step:
            run.save()
        if stopped:
            watch.note(f"stopped at step {progress.step}; the same command continues from there")
            raise asked.error
    except NonFiniteLossError:
        run.flush()
        raise
    finally:
        watch.end()
    metrics, queries = _final_metrics(setup)
    metrics |= {
        "num_steps": progress.step,
        "seconds": round(progress.seconds, 2),
        "samples_per_second": round(progress.num_samples / max(progress.seconds, 1e-9), 1),
    }
    if ranks.is_first():
        if queries is not None:
            write_whole(config.run_folder() / QUERIES_NAME, json.dumps(queries))
        write_json(config.run_folder() / "metrics.json", metrics)
    setup.trainee.model.eval()
    return TrainResult(out=config.out, metrics=metrics)


class _Run:
    """A run under way: takes steps, evaluates, saves."""

    def __init__(self, setup: Setup, watch: Watch) -> None:
        self.setup, self.watch = setup, watch
        folder, step = setup.config.run_folder(), setup.progress.step
        # What was found before a first step that will be taken (again) is found again.
        self.history = History(folder, keep_up_to=step or -1) if ranks.is_first() else None
        self.pending: list[Row] = []
        self.saved_step: int | None = None
        self.started = time.monotonic() - setup.progress.seconds

    def take_steps(self, asked: interrupt.Interrupt) -> bool:
        """Steps until the end of the run, or until a rank is asked to stop: then True."""
        setup, progress, due = self.setup, self.setup.progress, self.setup.config.save
        stepper = Stepper(setup)
        batches = setup.train.batches(progress.data, pinned=setup.on_gpu)
        stopped = False
        if progress.step == 0:
            self.evaluate()
        while progress.step < setup.num_steps and not stopped:
            after, batch = next(batches)
            row = stepper(batch.to(setup.device), progress)
            progress.step += 1
            progress.data = after
            progress.num_samples += batch.num_rows
            self.pending.append(row)
            self.watch.step(row, batch.num_rows)
            if setup.is_due(due.eval_every, progress.step) and self.evaluate():
                self.save(is_best=True)
            elif setup.is_due(due.save_every, progress.step):
                self.save()
            # All ranks stop after the same step, whichever of them was asked during it.
            stopped = ranks.any_rank(asked.asked, setup.device)
        return stopped

    def evaluate(self) -> bool:
        """Evaluate on val, where there is one; whether it is the best so far. What the model can do
        before its first step is recorded, but does not compete: there is no checkpoint of it."""
        setup, progress, val = self.setup, self.setup.progress, self.setup.val
        if val is None:
            return False
        metrics = setup.trainee.with_average(
            lambda: setup.task.evaluate(
                setup.trainee.model, val, setup.concepts, autocast=setup.autocast
            )
        )
        self.watch.evaluated(progress.step, metrics)
        self.pending.append({"kind": "eval", "split": "val", "step": progress.step, **metrics})
        if progress.step == 0:
            return False
        score = headline(metrics).of(metrics)
        if progress.best_score is not None and score <= progress.best_score:
            return False
        progress.best_score, progress.best_step = score, progress.step
        return True

    def save(self, *, is_best: bool = False) -> None:
        """History first: a row of a step that is not saved is dropped again on resuming."""
        setup, progress = self.setup, self.setup.progress
        progress.seconds = time.monotonic() - self.started
        self.saved_step = progress.step
        self.flush()
        if self.history is not None:
            is_best = is_best or setup.val is None
            folder = setup.config.run_folder()
            checkpoint.save(folder, setup.trainee, progress, setup.config, best=is_best)
        ranks.barrier()

    def flush(self) -> None:
        """Write the rows that the history lacks."""
        if self.history is not None:
            self.history.add(self.pending)
        self.pending.clear()


def _final_metrics(setup: Setup) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Metrics of the best checkpoint (of the last one without val) on val, test and more, and the
    ranks of the queries of test."""
    run, progress = setup.config.run_folder(), setup.progress
    trainee = setup.trainee
    best = checkpoint.find_checkpoint(str(run), which="best")
    if progress.best_step not in (None, progress.step) or trainee.average is not None:
        checkpoint.load_model_into(best, trainee.model)

    def on(
        clips: BatchSource, concepts: list[dict[str, Any]], *, with_queries: bool = False
    ) -> dict[str, Any]:
        return setup.task.evaluate(
            trainee.model, clips, concepts, autocast=setup.autocast, with_queries=with_queries
        )

    run_step = json.loads((best / "run.json").read_text())["progress"]["step"]
    rows = read_history(run)
    steps = [row for row in rows if row["kind"] == "step"]
    health = net_health(steps) if steps and setup.weighting.kind in LEARNED else None
    first = [row for row in rows if row["kind"] == "eval" and row["step"] == 0]
    at_start = {k: v for row in first for k, v in row.items() if k not in ("kind", "split", "step")}
    test = None if setup.test is None else on(setup.test, setup.concepts, with_queries=True)
    queries = None if test is None else test.pop("queries")
    metrics = {
        "task": setup.config.task.name,
        "best_step": run_step,
        "logit_scale": float(trainee.model.logit_scale.detach().exp()),
        "weights": setup.weighting.kind,
        "weight_net": None if health is None else health.to_json(),
        "notes": setup.notes,
        "val": None if setup.val is None else on(setup.val, setup.concepts),
        "val_at_start": at_start or None,
        "test": test,
        "eval_shards": {
            name: on(clips, read_concepts(clips.rows.index.uri))
            for name, clips in setup.others.items()
        },
    }
    return metrics, queries
