"""The command `caption`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mama_augment.core.errors import InputError

if TYPE_CHECKING:
    from mama_augment.budget.plan_file import PlannedCaptions
    from mama_augment.caption.engines.models import Model

MOST_PICTURE_PX = 4096
"""A grid of this side takes 48 MB, and several are in memory at once."""


def caption(
    clips: Annotated[str, typer.Argument(help="Output directory of `mama-augment keyframes`.")],
    out: Annotated[str, typer.Option("--out", help="Output directory or URI.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="llava (LLaVA-1.5-7B), llava-13b, llava-next, llava-onevision, qwen2.5-vl, "
            "qwen3-vl, internvl; a hub id (owner/name); a local directory; llava-shapes (bundled, "
            "tiny, knows only the generated shapes world).",
        ),
    ] = "llava",
    grid: Annotated[
        str, typer.Option("--grid", help="Rows x columns of key frames in the picture.")
    ] = "3x4",
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt",
            help="process or order (the paper's), a text, or a file; a text may be a Jinja "
            "template over the clip's columns.",
        ),
    ] = "process",
    num_captions: Annotated[
        int | None,
        typer.Option("--num-captions", "-n", help="Captions per clip.", show_default="1"),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            help="File or URI from `mama-augment plan`: it says how many captions each clip gets, "
            "in place of --num-captions.",
            show_default=False,
        ),
    ] = None,
    every_split: Annotated[
        bool,
        typer.Option(
            "--every-split",
            help="Caption meta, val and test clips too. For whoever evaluates the captioner on "
            "them: `balance` takes no generated caption there, so they are left out by default.",
        ),
    ] = False,
    temperature: Annotated[
        float, typer.Option("--temperature", help="0 takes the likeliest word every time.")
    ] = 0.2,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Draw among the words that make up this share.")
    ] = 1.0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Longer captions are cut, and rejected.")
    ] = 128,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other captions.")] = 0,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="vllm, transformers or openai (a server); auto: vllm where it is installed.",
        ),
    ] = "auto",
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="transformers: captions generated together.")
    ] = 16,
    max_in_flight: Annotated[
        int, typer.Option("--max-in-flight", help="vllm, openai: captions generated at once.")
    ] = 256,
    tensor_parallel: Annotated[
        int, typer.Option("--tensor-parallel", help="vllm: GPUs that share one model.")
    ] = 1,
    gpu_memory_share: Annotated[
        float | None,
        typer.Option(
            "--gpu-memory-share",
            help="vllm: share of a GPU that one replica may fill; 0.9, or as much less as replicas "
            "share the GPU.",
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", help="openai: the server's address.")
    ] = "http://localhost:8000/v1",
    picture_px: Annotated[
        int | None,
        typer.Option(
            "--picture-px",
            help="Side of the grid in pixels; by default what the model takes (336 for LLaVA-1.5 "
            "and for a server).",
            show_default=False,
        ),
    ] = None,
    reuse: Annotated[
        str | None,
        typer.Option(
            "--reuse",
            help="Captions directory to copy from what fits: same frames, grid, prompt, model, "
            "sampling and seed.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option("--replicas", "--workers", help="Engines side by side; each holds the model."),
    ] = 1,
    gpus_per_replica: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-replica",
            help="GPUs that each replica sees; below 1, replicas share one. By default as many as "
            "--tensor-parallel, where there are any.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", help="local (this machine) or ray.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            help="Join this Ray cluster; by default Ray is started here.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count requests and tokens; writes nothing.")
    ] = False,
    tokens_per_second: Annotated[
        float | None,
        typer.Option(
            "--tokens-per-second",
            help="With --dry-run: output tokens per second of the engine, for the time.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        bool,
        typer.Option("--sample", help="With --dry-run: caption 1 % to measure tokens and time."),
    ] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Caption what there is of unfinished clips.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed, and only that.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard what is in the output directory.")
    ] = False,
) -> None:
    """Caption every clip that may train: a grid of its key frames in, one text or more out."""
    from mama_augment.caption.engines import EngineConfig, gpus_of, memory_share, settle
    from mama_augment.caption.engines.base import EngineDiedError, SamplingConfig
    from mama_augment.caption.input import prompts
    from mama_augment.caption.input.grid import GridLayout
    from mama_augment.caption.requests import CaptionSettings
    from mama_augment.caption.step import CaptionRun, open_job, run_caption
    from mama_augment.cli.summary import print_ledger, print_left_out, step_progress
    from mama_augment.cli.summary_caption import stopped
    from mama_augment.core.store.lock import locked
    from mama_augment.runtime import RuntimeConfig, WorkerDiedError
    from mama_augment.runtime.gpus import local_places

    check_dry_run(dry_run, sample, tokens_per_second)
    engine_name = settle(engine)
    gpus = gpus_of(engine_name, tensor_parallel, gpus_per_replica)
    layout = GridLayout.parse(grid)
    sampling = SamplingConfig(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    asked = prompts.resolve(prompt)
    planned = planned_captions(plan, num_captions)
    found = find_model(model, engine_name, picture_px, base_url)
    settings = CaptionSettings(
        model=found.name,
        model_revision=found.revision,
        size_px=found.size_px,
        prompt=asked,
        grid=layout,
        sampling=sampling,
        num_captions=1 if num_captions is None else num_captions,
        plan=planned,
        every_split=every_split,
        seed=seed,
    )
    engine_config = EngineConfig(
        name=engine_name,
        model=found.directory,
        batch_size=batch_size,
        max_in_flight=max_in_flight,
        tensor_parallel=tensor_parallel,
        gpu_memory_share=memory_share(gpu_memory_share, gpus),
        base_url=base_url,
    )
    runs_on = RuntimeConfig(
        runtime=runtime,
        num_workers=workers,
        ray_address=ray_address,
        gpus=gpus,
        places=local_places(gpus, workers) if runtime == "local" else (),
    )
    run = CaptionRun(
        overwrite=overwrite,
        retry_failed=retry_failed,
        allow_partial=allow_partial,
        reuse_uri=reuse,
    )
    if dry_run:
        from mama_augment.caption.forecast import forecast
        from mama_augment.cli.summary_caption import print_forecast

        print_forecast(
            forecast(
                clips,
                settings,
                engine_config,
                out_uri=out,
                num_engines=workers,
                run=run,
                tokens_per_second=tokens_per_second,
                with_sample=sample,
            ),
            gpus,
        )
        return
    with locked(out):
        job = open_job(clips, out, settings, engine_config, runs_on, run)
        try:
            with step_progress("caption", job.num_items, job.num_done) as progress:
                ledger = run_caption(job, progress.advance)
        except (EngineDiedError, WorkerDiedError, OSError) as error:
            stopped(error, out)
    print_ledger(
        ledger, noun="captions", out=out, num_done=progress.num_done, seconds=progress.seconds
    )
    print_left_out(job.out.manifest.left_out)
    raise typer.Exit(ledger.exit_code)


def check_dry_run(dry_run: bool, sample: bool, tokens_per_second: float | None) -> None:
    """Refuse options of `--dry-run` without it: whoever gives them expects no captions.

    Raises:
        InputError: naming the option.
    """
    from mama_augment.caption.forecast import check_speed

    check_speed(tokens_per_second)
    given = ["--sample"] * sample + ["--tokens-per-second"] * (tokens_per_second is not None)
    if given and not dry_run:
        raise InputError(
            f"{' and '.join(given)}: only with --dry-run, which captions nothing; add it, "
            "or leave them out to caption all clips"
        )


def planned_captions(uri: str | None, num_captions: int | None) -> PlannedCaptions | None:
    """The plan to follow, if any.

    Raises:
        InputError: `--num-captions` is given too, or the file is no plan.
    """
    from mama_augment.budget.plan_file import both_given, read_plan

    if uri is None:
        return None
    if num_captions is not None:
        raise InputError(both_given(uri, num_captions))
    return read_plan(uri)


def find_model(value: str, engine_name: str, picture_px: int | None, base_url: str) -> Model:
    """The model to use, with the picture size that the user asked for.

    Raises:
        InputError: see `mama_augment.caption.engines.find_model`.
    """
    from dataclasses import replace

    from mama_augment.caption import engines

    if picture_px is not None and not 1 <= picture_px <= MOST_PICTURE_PX:
        raise InputError(f"--picture-px is {picture_px}; allowed: 1 to {MOST_PICTURE_PX}")
    found = engines.find_model(engine_name, value, base_url)
    return replace(found, size_px=(picture_px, picture_px)) if picture_px else found
