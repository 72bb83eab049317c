"""What `caption` tells a person beside its ledger: a forecast, and why it stopped."""

from __future__ import annotations

import errno
from typing import NoReturn

import typer
from rich.table import Table

from mama_augment.steps.caption_forecast import Forecast
from mama_augment.summary import console, error_console


def print_forecast(found: Forecast) -> None:
    """What a run would do, as a table."""
    table = Table(title="mama-augment caption --dry-run", title_justify="left", show_header=False)
    most = "" if found.is_measured else "at most "
    rows = {
        "clips to caption": f"{found.num_clips:,}",
        **{f"left out, {why}": f"{number:,} clips" for why, number in found.left_out.items()},
        "captions": f"{found.num_captions:,}, of which {found.num_there:,} are there already",
        "requests (prefills)": f"{found.num_requests:,}",
        "prompt tokens": f"{found.num_prompt_tokens:,}"
        if found.num_prompt_tokens is not None
        else "not counted; --sample measures them",
        "output tokens": f"{most}{found.num_output_tokens:,}",
        "time": f"{most}{found.seconds / 60:,.1f} min on one engine"
        if found.seconds is not None
        else "not known; give --tokens-per-second or --sample",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def stopped(error: Exception, out: str) -> NoReturn:
    """End the command after an error that is neither a bug nor a mistake: full disk, dead engine.

    Other errors of the system are raised as they are.
    """
    if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    error_console.print(
        f"[bold red]stopped:[/bold red] {error}. Finished captions are kept in {out}; when the "
        "cause is mended, the same command continues",
        highlight=False,
        soft_wrap=True,
    )
    raise typer.Exit(1)
