"""The `mama-augment` command: each command parses, calls one function, prints one summary."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mama_augment.cli.balance import balance, plan, report, validate
from mama_augment.cli.caption import caption
from mama_augment.cli.keyframes import inspect, keyframes
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.shapes.world.config import WorldConfig

app = typer.Typer(
    name="mama-augment",
    help="Turn a folder of videos into balanced, captioned training shards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command()(keyframes)
app.command()(inspect)
app.command()(caption)
app.command()(plan)
app.command()(balance)
app.command()(report)
app.command()(validate)


@app.callback()
def root() -> None:
    """Turn a folder of videos into balanced, captioned training shards."""


@app.command()
def status(
    directory: Annotated[str, typer.Argument(help="A step's output directory.")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every file and check its sha256.")
    ] = False,
) -> None:
    """Prove a step's accounting from its files: in = ok + rejected + failed + pending."""
    from mama_augment.cli.summary import print_ledger, print_left_out, print_reasons
    from mama_augment.core.store.audit import reject_reasons
    from mama_augment.core.store.step_dir import StepDir

    step_dir = StepDir.open(directory)
    ledger = audit(step_dir, deep=deep)
    print_ledger(ledger, noun="items", out=directory)
    print_left_out(step_dir.manifest.left_out)
    print_reasons(*reject_reasons(step_dir))
    raise typer.Exit(ledger.exit_code)


@app.command()
def shapes(
    out: Annotated[str, typer.Argument(help="Folder to make the world in.")],
    num_videos: Annotated[
        int,
        typer.Option("--num-videos", min=1, help="Train videos; meta, val and test come on top."),
    ] = WorldConfig.num_videos,
    seed: Annotated[
        int, typer.Option("--seed", help="Another seed makes another world.")
    ] = WorldConfig.seed,
    noise_rate: Annotated[
        float, typer.Option("--noise-rate", help="Share of train videos with a wrong caption.")
    ] = WorldConfig.noise_rate,
    zipf_exponent: Annotated[
        float, typer.Option("--zipf-exponent", help="Imbalance of the concepts; 0 is uniform.")
    ] = WorldConfig.zipf_exponent,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 2,
) -> None:
    """Make a shapes world: H.264 videos of moving shapes and a manifest with the truth beside."""
    from mama_augment.cli.summary import console, step_progress
    from mama_augment.shapes.world.make import make_world

    config = WorldConfig(
        num_videos=num_videos, seed=seed, noise_rate=noise_rate, zipf_exponent=zipf_exponent
    )
    num_total = sum(config.num_in(split) for split in ("train", "meta", "val", "test"))
    with step_progress("shapes", num_total) as progress:
        world = make_world(
            out, config, num_workers=workers, on_video=lambda done, total: progress.advance()
        )
    sizes = ", ".join(f"{split} {size}" for split, size in world.num_by_split.items())
    console.print(
        f"{num_total} videos ({sizes}), {world.num_misaligned} train captions misaligned, "
        f"{world.num_concepts} concepts, {world.seconds:.0f} s\nmanifest: {world.manifest}",
        soft_wrap=True,
        highlight=False,
    )


def main() -> None:
    """Entry point: a user's mistake becomes one clear message and exit code 2."""
    try:
        app()
    except InputError as error:
        from mama_augment.cli.summary import error_console

        error_console.print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
