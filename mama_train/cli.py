"""The `mama-train` command: each command parses, calls one function, prints one summary."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from mama_augment.core.errors import InputError
from mama_train.config import TrainConfig, parse_settings, settings
from mama_train.errors import NonFiniteLossError

app = typer.Typer(
    name="mama-train",
    help="Train video-text models with an angular margin and meta-learned sample weights.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def root() -> None:
    """Train video-text models with an angular margin and meta-learned sample weights."""


def _default(name: str) -> Any:
    """The default of a setting, which only its dataclass writes down."""
    return settings()[name].default


@app.command()
def run(
    shards: Annotated[str, typer.Argument(help="The output of `mama-augment balance`.")],
    out: Annotated[str, typer.Option(help="Folder of this run.")] = _default("out"),
    model: Annotated[
        str, typer.Option(help="small, an alias, or a folder of CLIP-ViP, CLIP or SigLIP weights.")
    ] = _default("model"),
    steps: Annotated[int | None, typer.Option(help="Length in steps; else --epochs.")] = None,
    epochs: Annotated[int, typer.Option(help="Length in visits of every kept caption.")] = _default(
        "epochs"
    ),
    batch_size: Annotated[
        int, typer.Option(help="Captions per step, over all processes.")
    ] = _default("batch_size"),
    lr: Annotated[
        float | None,
        typer.Option(help="Peak learning rate; 1e-3 for small, 1e-5 for given weights otherwise."),
    ] = None,
    margin: Annotated[float, typer.Option(help="Margin μ in radians.")] = _default("margin"),
    margin_kind: Annotated[
        str, typer.Option(help="subtractive, none, additive, cosine.")
    ] = _default("margin_kind"),
    weights: Annotated[
        str,
        typer.Option(help="mlp-meta, mlp-joint, focal, self-paced, inverse-frequency, none."),
    ] = _default("weights"),
    sources: Annotated[
        str, typer.Option(help="Captions to train on: all, human, generated.")
    ] = _default("sources"),
    meta_every: Annotated[
        int, typer.Option(help="Take a meta step every so many steps.")
    ] = _default("meta_every"),
    meta_batch_size: Annotated[
        int | None, typer.Option(help="Captions per meta batch; as --batch-size when not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides order and initial weights.")] = _default(
        "seed"
    ),
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting, as name=value: num_frames, human_share, visit, below, "
            "normalised, weight_lr, meta_layers, lagged, rows_per_pass, gradient_checkpointing, "
            "precision, weight_decay, warmup, clip_norm, ema_decay, eval_every, save_every, "
            "num_workers, window_clips, tensorboard, wandb, device ... (docs/training.md)",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out.")
    ] = False,
) -> None:
    """Train on SHARDS, evaluate, save a checkpoint and write a report."""
    given: dict[str, Any] = {
        "shards": shards,
        "out": out,
        "model": model,
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "margin": margin,
        "margin_kind": margin_kind,
        "weights": weights,
        "sources": sources,
        "meta_every": meta_every,
        "meta_batch_size": meta_batch_size,
        "seed": seed,
    }
    config = TrainConfig.of(**given | parse_settings(setting or []))
    from mama_train.commands import run_training

    run_training(config, resume=resume, overwrite=overwrite)


Checkpoint = Annotated[str, typer.Argument(help="A checkpoint, or a run (its best is taken).")]
Shards = Annotated[str, typer.Argument(help="The output of `mama-augment balance`.")]
Split = Annotated[str, typer.Option(help="train, meta, val or test.")]
Frames = Annotated[int | None, typer.Option(help="Frames per clip; as in training when not given.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda ...")]


@app.command("eval")
def evaluate(
    checkpoint: Checkpoint,
    shards: Shards,
    split: Split = "test",
    num_frames: Frames = None,
    device: Device = "auto",
    out: Annotated[str | None, typer.Option(help="Write the metrics to this JSON file.")] = None,
) -> None:
    """Measure retrieval of CHECKPOINT on a split of SHARDS."""
    from mama_train.commands import run_eval

    run_eval(checkpoint, shards, split, num_frames=num_frames, device=device, out=out)


@app.command()
def embed(
    checkpoint: Checkpoint,
    shards: Shards,
    out: Annotated[str, typer.Option(help="The Parquet file to write.")],
    split: Split = "test",
    num_frames: Frames = None,
    device: Device = "auto",
) -> None:
    """Write the embeddings of a split's clips and captions to a Parquet file."""
    from mama_train.commands import run_embed

    run_embed(checkpoint, shards, split, num_frames=num_frames, device=device, out=out)


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Annotated[str, typer.Option(help="The folder to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write into a used one.")] = False,
) -> None:
    """Write a checkpoint's model alone, as a folder in Hugging Face layout."""
    from mama_train.commands import run_export

    run_export(checkpoint, out=out, overwrite=overwrite)


@app.command()
def compare(
    file: Annotated[str, typer.Argument(help="TOML or JSON: shards, seeds, baseline, arms.")],
    out: Annotated[str, typer.Option(help="Folder of the runs and the result.")] = "comparison",
    jobs: Annotated[int, typer.Option(help="Runs at a time, each in its own process.")] = 1,
) -> None:
    """Train several configurations x seeds and compare them on the test split."""
    from mama_train.commands import run_compare

    run_compare(file, out=out, jobs=jobs)


def main() -> None:
    """Entry point: a user's mistake becomes one clear message and exit code 2, a loss that is no
    number any more one and exit code 1."""
    try:
        app()
    except InputError as error:
        _say("error", str(error))
        sys.exit(2)
    except NonFiniteLossError as error:
        _say("error", str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _say(kind: str, text: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(
        f"[bold red]{kind}:[/bold red] {text}", highlight=False, soft_wrap=True
    )
