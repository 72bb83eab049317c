"""What a run of `caption` would do, for a person."""

from __future__ import annotations

from mama_augment.caption.forecast import Forecast
from mama_augment.core.shared import say
from mama_augment.runtime.gpus import GpuShare


def show_forecast(found: Forecast, gpus: GpuShare | None) -> None:
    """What a run would do, as a table. gpus: those of each engine; None: a server's own."""
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
    say.table("mama-augment caption --dry-run", ("", ""), list(rows.items()))


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
