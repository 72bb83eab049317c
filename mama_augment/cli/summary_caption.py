"""What `caption` tells a person beside its ledger: a forecast, and why it stopped."""

from __future__ import annotations

import errno
from typing import NoReturn

import typer
from rich.table import Table

from mama_augment.caption.forecast import Forecast
from mama_augment.cli.summary import console, error_console
from mama_augment.runtime.gpus import GpuShare


def print_forecast(found: Forecast, gpus: GpuShare | None) -> None:
    """What a run would do, as a table. gpus: those of each engine; None: a server's own."""
    table = Table(title="mama-augment caption --dry-run", title_justify="left", show_header=False)
    prefills, input_tokens = {}, "not known; --sample asks the engine"
    if found.num_prefills != found.num_requests:
        prefills = {"prefills": f"{found.num_prefills:,}, one for each caption"}
    if found.num_prompt_tokens is not None:
        input_tokens = f"{found.num_prompt_tokens:,}"
    rows = {
        "clips to caption": f"{found.num_clips:,}",
        **{f"left out, {why}": f"{number:,} clips" for why, number in found.left_out.items()},
        "captions": f"{found.num_captions:,}, of which {found.num_there:,} are there already",
        "requests": f"{found.num_requests:,}",
        **prefills,
        "input tokens": input_tokens,
        "output tokens": f"{'' if found.is_measured else 'at most '}{found.num_output_tokens:,}",
        **_time_and_budget(found, gpus),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _time_and_budget(found: Forecast, gpus: GpuShare | None) -> dict[str, str]:
    if found.engine_seconds is None:
        return {"time": "not known; give --tokens-per-second or --sample"}
    most = "" if found.is_time_measured else "at most "
    number, hours = found.num_engines, found.engine_seconds / 3600
    minutes = f"{most}{found.engine_seconds / 60 / number:,.1f} min"
    if gpus is None:
        return {"time": f"{minutes} of the server", "budget": f"{most}{hours:,.2f} server-hours"}
    gpu_hours = hours * gpus.per_worker
    return {
        "time": f"{minutes} on {number} engine{'s' if number > 1 else ''}",
        "budget": f"{most}{hours:,.2f} engine-hours",
        "budget on GPUs": f"{most}{gpu_hours:,.2f} GPU-hours, {gpus.per_worker:g} per engine",
    }


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
