"""What a run tells those who watch it: nothing, a terminal, TensorBoard, Weights & Biases."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.safe.own_files import check_folder
from mama_augment.core.shared import say
from mama_train.measure.headline import headline


class Watch:
    """Receives a run's events; this one ignores them."""

    def begin(self, first_step: int, num_steps: int) -> None:
        """Training starts, or goes on, after `first_step` steps of `num_steps`."""

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        """A step of `num_samples` rows was taken; `row` is its row of the history."""

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        """The val split was evaluated after a step; `metrics` as `evaluate` gives them."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def end(self) -> None:
        """Training is over, or was stopped; called once, also after an error."""


class Watches(Watch):
    """Several watches as one."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.watches = list(watches)

    def begin(self, first_step: int, num_steps: int) -> None:
        for watch in self.watches:
            watch.begin(first_step, num_steps)

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        for watch in self.watches:
            watch.step(row, num_samples)

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        for watch in self.watches:
            watch.evaluated(step, metrics)

    def note(self, text: str) -> None:
        for watch in self.watches:
            watch.note(text)

    def end(self) -> None:
        for watch in self.watches:
            watch.end()


class Terminal(Watch):
    """A progress bar with loss, samples per second and time left; notes above it."""

    def __init__(self) -> None:
        from rich import progress

        self.bar = say.bar(
            progress.TextColumn("[bold]train"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]}"),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        self.task: Any = None

    def begin(self, first_step: int, num_steps: int) -> None:
        self.bar.start()
        self.task = self.bar.add_task(
            "train", total=num_steps, completed=first_step, loss="", rate=""
        )

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        speed = self.bar.tasks[self.task].speed
        rate = f"{speed * num_samples:,.0f} samples/s" if speed else ""
        self.bar.update(self.task, advance=1, loss=f"loss {row['loss']:.3f}", rate=rate)

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        say.tell(f"step {step}: val {headline(metrics).words(metrics)}")

    def note(self, text: str) -> None:
        say.tell(text, "note")

    def end(self) -> None:
        self.bar.stop()


class TensorBoard(Watch):
    """Scalars below RUN/tensorboard."""

    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        check_folder(run / "tensorboard")
        self.writer: Any = SummaryWriter(str(run / "tensorboard"))

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        for name, value in row.items():
            if isinstance(value, float):
                self.writer.add_scalar(f"train/{name}", value, row["step"])

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        for place in headline(metrics).places:
            for name, value in metrics[place].items():
                self.writer.add_scalar(f"val/{place}/{name}", value, step)

    def end(self) -> None:
        self.writer.close()


class WeightsAndBiases(Watch):
    """Scalars to Weights & Biases, which the user installs and logs in to."""

    @staticmethod
    def package() -> Any:
        """Raises InputError where it is not installed."""
        try:
            return importlib.import_module("wandb")
        except ImportError as error:
            raise InputError(
                "--set wandb=true needs the package wandb: pip install wandb"
            ) from error

    def __init__(self, run: Path, config: dict[str, Any]) -> None:
        self.run: Any = self.package().init(dir=str(run), name=run.name, config=config)

    def step(self, row: dict[str, Any], num_samples: int) -> None:
        scalars = {f"train/{k}": v for k, v in row.items() if isinstance(v, float)}
        self.run.log(scalars, step=row["step"])

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        main = metrics[headline(metrics).places[0]]
        self.run.log({f"val/{k}": v for k, v in main.items()}, step=step)

    def end(self) -> None:
        self.run.finish()
