"""What the commands do: call the library, show progress, print one summary table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.shared import say
from mama_augment.core.store.files import whole
from mama_train import ranks
from mama_train.compare.arms import Comparison, read_comparison
from mama_train.compare.runs import run_comparison
from mama_train.compare.table import Compared, show_comparison, write_comparison
from mama_train.compare.table import Terminal as ComparedTerminal
from mama_train.config import TrainConfig
from mama_train.data.index import read_concepts
from mama_train.data.source import BatchSource, open_split
from mama_train.export.folder import write_export
from mama_train.measure.config import Measured, Protocol
from mama_train.measure.evaluate import embedding_table
from mama_train.models.base import DualEncoder
from mama_train.models.config import ModelConfig
from mama_train.report.page import write_report
from mama_train.run.checkpoint import checkpoint_of, load_model
from mama_train.run.device import torch_device
from mama_train.run.history import write_json
from mama_train.run.loop import train
from mama_train.run.watch import TensorBoard, Terminal, Watch, Watches, WeightsAndBiases
from mama_train.tasks.base import Task
from mama_train.tasks.config import TaskConfig
from mama_train.tasks.registry import task_of
from mama_train.tasks.retrieval import Retrieval


def run_training(config: TrainConfig, *, resume: bool, overwrite: bool) -> int:
    """Train, write the report, print the summary."""
    watch = _LateWatch(config)
    with say.keeping("checkpoints", config.out):
        result = train(config, resume=resume, overwrite=overwrite, watch=watch)
        if ranks.is_first():
            report = write_report(Path(result.out))
            show_summary(result.metrics, out=result.out, report=report)
    return 0


class _LateWatch(Watches):
    """Opens the files of its parts only when training begins, in a run folder that exists."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__([Terminal()] if ranks.is_first() else [])
        self.config = config
        if config.watch.wandb:
            WeightsAndBiases.package()  # before the run folder is made

    def begin(self, first_step: int, num_steps: int) -> None:
        run = self.config.run_folder()
        more: list[Watch] = []
        if ranks.is_first() and self.config.watch.tensorboard:
            more.append(TensorBoard(run))
        if ranks.is_first() and self.config.watch.wandb:
            more.append(WeightsAndBiases(run, self.config.to_json()))
        if not ranks.is_first():
            self.watches.clear()
        self.watches += more
        super().begin(first_step, num_steps)


def show_summary(metrics: dict[str, Any], *, out: str, report: Path | None) -> None:
    """Metrics on the test split (val where there is none), speed, and where things lie."""
    found = {s: metrics[s] for s in ("test", "val") if metrics.get(s)}
    shown = dict([next(iter(found.items()))]) if found else {}
    shown |= {f"test of {name}": more for name, more in metrics["eval_shards"].items()}
    if shown:
        show_metrics("mama-train run", shown)
    say.say(
        f"{metrics['num_steps']:,} steps in {metrics['seconds']:.1f} s, "
        f"{metrics['samples_per_second']:,.0f} samples/s; weights {metrics['weights']}; "
        f"checkpoint of step {metrics['best_step']}"
    )
    say.say(f"model   {out}/checkpoints/best")
    if report is not None:
        say.say(f"report  {report}")
    say.summary({**metrics, "out": out, "report": report and str(report)})


COLUMNS = ("split", "direction", "R@1 %", "R@5 %", "R@10 %", "MdR", "MnR", "queries")


def show_metrics(title: str, metrics: dict[str, dict[str, Any]]) -> None:
    """Each split's metrics, in columns of their kind."""
    if all("answers" in of_split for of_split in metrics.values()):
        show_answers(title, metrics)
    else:
        show_retrieval(title, metrics)


def show_answers(title: str, metrics: dict[str, dict[str, Any]]) -> None:
    """Accuracy of each split: all of it, and by group of questions."""
    head = ("split", "questions", "acc %", "acc@10 %", "number")
    rows = []
    for split, found in metrics.items():
        every = found["answers"]
        num = f"{every['num_questions']:,}"
        rows.append((split, "all", f"{every['acc']:.1f}", f"{every['acc@10']:.1f}", num))
        for name, of_group in found["by_group"].items():
            num = f"{of_group['num_questions']:,}"
            rows.append((split, name or "no type", f"{of_group['acc']:.1f}", "", num))
    say.table(title, head, rows, right=head[2:])


def show_retrieval(
    title: str, metrics: dict[str, dict[str, Any]], *, dual_softmax: bool = False
) -> None:
    """Both directions of each split's metrics."""
    directions = ["text_to_video", "video_to_text"]
    if dual_softmax:
        directions += [f"{d}_dual_softmax" for d in directions]
    rows = [
        (
            split,
            direction.replace("_", " "),
            *(f"{found[k]:.1f}" for k in ("R@1", "R@5", "R@10")),
            f"{found['MdR']:g}",
            f"{found['MnR']:.1f}",
            f"{found['num_queries']:,}",
        )
        for split, of_split in metrics.items()
        for direction in directions
        for found in (of_split[direction],)
    ]
    say.table(title, COLUMNS, rows, right=COLUMNS[2:])


def open_checkpoint(where: Measured, *, answers: bool) -> tuple[DualEncoder, BatchSource, Task]:
    """A checkpoint's model, a split of shards, decoded as that model wants, and what the model
    does; it only embeds unless it is to give `answers`.

    Raises:
        InputError: no checkpoint there, no such device, or the split has no captions.
    """
    ModelConfig(num_frames=where.num_frames)  # checked as a run's
    device = torch_device(where.device)
    notes: list[str] = []
    model, tokenizer = load_model(where.checkpoint, num_frames=where.num_frames, notes=notes)
    for note in notes:
        say.tell(note, "note")
    task = task_of(model) if answers else Retrieval(TaskConfig())
    clips = open_split(where.shards, where.split, model.frame_spec, tokenizer, task.items)
    model.to(device).eval()
    return model, clips, task


def _file_to_write(out: str) -> Path:
    """Raises InputError, before the work and not after it, where no file can be."""
    target = Path(out)
    if target.is_dir():
        raise InputError(f"--out {out!r} is a folder; give the name of a file, as {out}/NAME")
    _check_folders(target.parent, out)
    return target


def _check_folders(folder: Path, out: str) -> None:
    for above in (folder, *folder.parents):
        if above.exists() and not above.is_dir():
            raise InputError(f"--out {out!r}: {str(above)!r} is a file; give another --out")


def run_eval(where: Measured, *, protocol: Protocol, out: str | None) -> int:
    """Print (and with `out` write) the metrics of a checkpoint on a split."""
    target = None if out is None else _file_to_write(out)
    model, clips, task = open_checkpoint(where, answers=True)
    metrics = task.evaluate(model, clips, read_concepts(where.shards))
    if "answers" in metrics:
        show_answers("mama-train eval", {where.split: metrics})
        return _eval_end(target, out, where, metrics)
    shown = metrics if protocol == "own" else metrics["published"]
    title = "mama-train eval" + (", as published" if protocol == "published" else "")
    show_retrieval(title, {where.split: shown}, dual_softmax=True)
    return _eval_end(target, out, where, metrics)


def _eval_end(
    target: Path | None, out: str | None, where: Measured, metrics: dict[str, Any]
) -> int:
    if target is not None:
        write_json(target, metrics)
        say.say(f"metrics  {out}")
    say.summary({"split": where.split, **metrics})
    return 0


def run_embed(where: Measured, out: str) -> int:
    """Write one Parquet row per clip and per caption with its embedding."""
    import pyarrow.parquet as pq

    target = _file_to_write(out)
    model, clips, _ = open_checkpoint(where, answers=False)
    table = embedding_table(model, clips)
    with whole(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    say.say(f"{table.num_rows:,} embeddings of {model.embed_dim} dimensions  {out}")
    say.summary({"embeddings": table.num_rows, "dimensions": model.embed_dim, "out": out})
    return 0


def run_export(path: str, *, out: str, overwrite: bool) -> int:
    """Write a checkpoint's model alone, for others to load."""
    target = Path(out)
    _check_folders(target, out)
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise InputError(f"{out!r} is not empty; give another --out or --overwrite")
    notes: list[str] = []
    model, tokenizer = load_model(path, notes=notes)
    for note in notes:
        say.tell(note, "note")
    write_export(target, model, tokenizer, checkpoint=checkpoint_of(path))
    say.say(f"model  {out}")
    say.summary({"model": out})
    return 0


def run_compare(file: str, *, out: str, jobs: int) -> int:
    """Run every arm with every seed; print and write the tables."""
    comparison = read_comparison(file)
    return _compare(comparison, out, jobs=jobs)


def run_seeds(config: TrainConfig, num: int, *, overwrite: bool) -> int:
    """One run for each of `num` seeds, from the config's own on, and a table of them all."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            f"--seeds {num}: several processes train one run together; start one run per seed"
        )
    given = {k: v for k, v in config.to_json().items() if k not in ("shards", "out", "seed")}
    comparison = Comparison(
        shards=config.shards,
        seeds=tuple(range(config.seed, config.seed + num)),
        baseline=RUN,
        arms={RUN: {}},
        common=given,
    )
    return _compare(comparison, config.out, overwrite=overwrite, with_report=True)


RUN = "run"
"""The one arm of `--seeds`."""


def _compare(comparison: Comparison, out: str, *, jobs: int = 1, **how: bool) -> int:
    folder = Path(out)
    _check_folders(folder, out)
    with say.keeping("runs", out):
        with ComparedTerminal(len(comparison.arms) * len(comparison.seeds)) as shown:
            results = run_comparison(comparison, folder, jobs=jobs, shown=shown, **how)
        compared = Compared.of(comparison, results)
        if all(
            run.diverged is None and not run.metrics["test"] for run in results[comparison.baseline]
        ):
            raise InputError(f"{comparison.shards!r} holds no test split to compare on")
        show_comparison(compared)
        report = write_comparison(folder, compared)
        found = compared.to_json()
        write_json(folder / "comparison.json", found)
    say.say(f"report  {report}")
    say.say(f"tables  {folder}/comparison.md, .tex, .csv; runs.csv")
    say.summary({"arms": found, "report": str(report)})
    return 0
