"""The `mama-train` command: what each command takes; `commands` does it."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.core.shared.options import Command, add_commands, make_app, run_program
from mama_train import __version__
from mama_train.config import TrainConfig, parse_settings
from mama_train.measure.config import Measured, Protocol
from mama_train.recipes import CONFIGS, show_recipes


@dataclass(frozen=True, kw_only=True)
class RunCommand:
    """Train on SHARDS, evaluate, save a checkpoint and write a report."""

    train: TrainConfig
    settings: tuple[str, ...] = field(default=(), metadata=option("--set"))
    """Any setting as name=value, under its option's name or its place: lr=1e-3, optim.lr=1e-3. It
    wins over the option."""
    resume: bool = False
    """Continue the run in --out. A run of the same settings does so by itself; this only wins over
    --overwrite."""
    overwrite: bool = False
    """Replace the run in --out."""
    seeds: int = 1
    """Runs, each with a seed of its own, from --seed on; with more than one they lie side by side
    below --out, with a table of them all."""

    def __call__(self) -> int:
        config = self.train
        if self.settings:
            config = TrainConfig.of(**config.to_json() | parse_settings(list(self.settings)))
        if self.seeds < 1:
            raise InputError(f"--seeds is {self.seeds}: give at least 1, the number of runs")
        from mama_train.commands import run_seeds, run_training

        if self.seeds > 1:
            return run_seeds(config, self.seeds, overwrite=self.overwrite and not self.resume)

        return run_training(config, resume=self.resume, overwrite=self.overwrite)


@dataclass(frozen=True, kw_only=True)
class EvalCommand:
    """Measure CHECKPOINT on a split of SHARDS: retrieval, or answers if it gives them."""

    where: Measured
    protocol: Protocol = "own"
    """How ranks are counted in the table: with every right text and video (own), or as papers on
    video retrieval do, to stand beside their numbers (published). The JSON has both."""
    out: str | None = None
    """Write the metrics to this JSON file."""

    def __call__(self) -> int:
        from mama_train.commands import run_eval

        return run_eval(self.where, protocol=self.protocol, out=self.out)


@dataclass(frozen=True, kw_only=True)
class EmbedCommand:
    """Write the embeddings of a split's clips and captions to a Parquet file."""

    where: Measured
    out: str
    """The Parquet file to write."""

    def __call__(self) -> int:
        from mama_train.commands import run_embed

        return run_embed(self.where, self.out)


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """Write a checkpoint's model alone, as a folder that transformers loads."""

    checkpoint: str = field(metadata=option(positional=True))
    """A checkpoint, a run (its best checkpoint is taken), or any model that --model takes."""
    out: str
    """The folder to write."""
    overwrite: bool = False
    """Write even where the folder is not empty."""

    def __call__(self) -> int:
        from mama_train.commands import run_export

        return run_export(self.checkpoint, out=self.out, overwrite=self.overwrite)


@dataclass(frozen=True, kw_only=True)
class CompareCommand:
    """Train several configurations x seeds and compare them on the test split."""

    file: str = field(metadata=option(positional=True))
    """A TOML or JSON file with shards, seeds, baseline and arms; a list of values makes arms."""
    out: str = "comparison"
    """Folder of the runs and the result."""
    jobs: int = 1
    """Runs at a time, each in a process of its own."""

    def __call__(self) -> int:
        from mama_train.commands import run_compare

        return run_compare(self.file, out=self.out, jobs=self.jobs)


@dataclass(frozen=True, kw_only=True)
class ConfigsCommand:
    """List the settings that --config NAME takes, or print one with the sources of its numbers."""

    name: str | None = field(default=None, metadata=option(positional=True))
    """Which one to print; by default all are listed."""

    def __call__(self) -> int:
        return show_recipes(self.name)


COMMANDS: dict[str, type[Command]] = {
    "run": RunCommand,
    "eval": EvalCommand,
    "embed": EmbedCommand,
    "export": ExportCommand,
    "compare": CompareCommand,
    "configs": ConfigsCommand,
}

app = make_app(
    "mama-train",
    "Train video-text models with an angular margin and meta-learned sample weights.",
    __version__,
)
add_commands(app, COMMANDS, configs=CONFIGS)


def main() -> None:
    """Entry point of `mama-train`."""
    run_program(app)
