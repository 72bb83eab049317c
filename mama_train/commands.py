"""What the commands do: call the library, show progress, print one summary table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mama_train import ranks
from mama_train.config import TrainConfig
from mama_train.loop import train
from mama_train.report import write_report
from mama_train.watch import TensorBoard, Terminal, Watch, Watches, WeightsAndBiases


def run_training(config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    """Train, write the report, print the summary."""
    watch = _LateWatch(config)
    result = train(config, resume=resume, overwrite=overwrite, watch=watch)
    if ranks.is_first():
        report = write_report(Path(result.out))
        print_summary(result.metrics, out=result.out, report=report)


class _LateWatch(Watches):
    """Opens the files of its parts only when training begins, in a run folder that exists."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__([Terminal()] if ranks.is_first() else [])
        self.config = config

    def begin(self, first_step: int, num_steps: int) -> None:
        run = self.config.run_folder()
        more: list[Watch] = []
        if ranks.is_first() and self.config.tensorboard:
            more.append(TensorBoard(run))
        if ranks.is_first() and self.config.wandb:
            more.append(WeightsAndBiases(run, self.config.to_json()))
        if not ranks.is_first():
            self.watches.clear()
        self.watches += more
        super().begin(first_step, num_steps)


def print_summary(metrics: dict[str, Any], *, out: str, report: Path | None) -> None:
    """Retrieval on the test split (val where there is none), speed, and where things lie."""
    split = next((s for s in ("test", "val") if metrics.get(s)), None)
    table = Table(title="mama-train run", title_justify="left")
    columns = ("split", "direction", "R@1 %", "R@5 %", "R@10 %", "MdR", "MnR", "queries")
    for column in columns:
        table.add_column(column, justify="left" if column in columns[:2] else "right")
    if split is not None:
        for direction in ("text_to_video", "video_to_text"):
            found = metrics[split][direction]
            table.add_row(
                split,
                direction.replace("_", " "),
                *(f"{found[k]:.1f}" for k in ("R@1", "R@5", "R@10")),
                f"{found['MdR']:g}",
                f"{found['MnR']:.1f}",
                f"{found['num_queries']:,}",
            )
    console = Console()
    if split is not None:
        console.print(table)
    console.print(
        f"{metrics['num_steps']:,} steps in {metrics['seconds']:.1f} s, "
        f"{metrics['samples_per_second']:,.0f} samples/s; weights {metrics['weights']}; "
        f"checkpoint of step {metrics['best_step']}",
        highlight=False,
    )
    console.print(f"model   {out}/checkpoints/best", highlight=False, soft_wrap=True)
    if report is not None:
        console.print(f"report  {report}", highlight=False, soft_wrap=True)
