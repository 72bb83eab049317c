"""The `mama-augment` command: each command parses, calls one function, prints one summary."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mama_augment.schema import InputError

app = typer.Typer(
    name="mama-augment",
    help="Turn a folder of videos into balanced, captioned training shards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


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
    from mama_augment.store import StepDir
    from mama_augment.summary import print_ledger

    ledger = StepDir.open(directory).ledger(deep=deep)
    print_ledger(ledger, noun="items", out=directory)
    raise typer.Exit(ledger.exit_code)


def main() -> None:
    """Entry point: a user's mistake becomes one clear message and exit code 2."""
    try:
        app()
    except InputError as error:
        from mama_augment.summary import error_console

        error_console.print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
