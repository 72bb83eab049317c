"""The commands `keyframes` and `inspect`."""

from __future__ import annotations

from typing import Annotated

import typer

from mama_augment.decode.config import LimitsConfig, PictureConfig
from mama_augment.keyframes.choose import STRATEGIES, KeyFrameConfig
from mama_augment.keyframes.config import DECODERS, ClipConfig, SplitConfig, WorkConfig
from mama_augment.runtime import RuntimeConfig

CHOICE, PICTURES = "Which frames", "Pictures"
RUNS, LIMITS = "How it runs", "What a clip may be and cost"


def keyframes(
    videos: Annotated[
        str,
        typer.Argument(
            help="A folder, a glob (quoted), a video, or a manifest (csv, jsonl, parquet) with a "
            "column `video` and, if you like, clip_id, start_seconds, end_seconds, text, source, "
            "trusted, split. Paths or URIs such as s3://bucket/folder."
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="Output directory or URI.")],
    num_frames: Annotated[
        int, typer.Option("--num-frames", "-q", help="Key frames per clip.", rich_help_panel=CHOICE)
    ] = KeyFrameConfig.num_frames,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            help=f"How they are chosen: {', '.join(STRATEGIES)}.",
            rich_help_panel=CHOICE,
        ),
    ] = KeyFrameConfig.strategy,
    sample_fps: Annotated[
        float | None,
        typer.Option(
            "--sample-fps",
            help="Long footage: peaks looks at so many frames a second only.",
            show_default="all",
            rich_help_panel=CHOICE,
        ),
    ] = KeyFrameConfig.sample_fps,
    max_frames_scanned: Annotated[
        int | None,
        typer.Option(
            "--max-frames-scanned",
            help="Long footage: peaks looks at so many frames of a clip at most.",
            show_default="all",
            rich_help_panel=CHOICE,
        ),
    ] = KeyFrameConfig.max_frames_scanned,
    split_seconds: Annotated[
        float | None,
        typer.Option(
            "--split-seconds",
            help="Cut every video into clips so long (at least 0.1).",
            show_default="no",
            rich_help_panel=CHOICE,
        ),
    ] = SplitConfig.seconds,
    split_scenes: Annotated[
        bool,
        typer.Option(
            "--split-scenes", help="Make every scene of a video a clip.", rich_help_panel=CHOICE
        ),
    ] = SplitConfig.scenes,
    short_side_px: Annotated[
        int,
        typer.Option(
            "--short-side-px",
            help="Stored size; smaller frames are never enlarged.",
            rich_help_panel=PICTURES,
        ),
    ] = PictureConfig.short_side_px,
    jpeg_quality: Annotated[
        int, typer.Option("--jpeg-quality", help="1 to 100.", rich_help_panel=PICTURES)
    ] = PictureConfig.jpeg_quality,
    least_frames: Annotated[
        int,
        typer.Option(
            "--least-frames", help="Clips with fewer frames are rejected.", rich_help_panel=LIMITS
        ),
    ] = ClipConfig.least_frames,
    video_root: Annotated[
        str | None,
        typer.Option(
            "--video-root",
            help="Where a manifest's relative paths start; by default the manifest's folder.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", help="Clips that are decoded side by side.", rich_help_panel=RUNS
        ),
    ] = RuntimeConfig.num_workers,
    runtime: Annotated[
        str, typer.Option("--runtime", help="local (this machine) or ray.", rich_help_panel=RUNS)
    ] = RuntimeConfig.runtime,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            help="Join this Ray cluster; by default Ray is started here.",
            show_default=False,
            rich_help_panel=RUNS,
        ),
    ] = None,
    time_limit_seconds: Annotated[
        float,
        typer.Option(
            "--time-limit-seconds",
            help="A clip that takes longer is killed.",
            rich_help_panel=LIMITS,
        ),
    ] = LimitsConfig.time_limit_seconds,
    memory_limit_mb: Annotated[
        int,
        typer.Option(
            "--memory-limit-mb",
            help="A decoder that grows beyond is killed.",
            rich_help_panel=LIMITS,
        ),
    ] = LimitsConfig.memory_limit_mb,
    max_pixels: Annotated[
        int,
        typer.Option(
            "--max-pixels",
            help="Larger pictures (width x height) are rejected.",
            rich_help_panel=LIMITS,
        ),
    ] = LimitsConfig.max_pixels,
    clips_per_unit: Annotated[
        int,
        typer.Option(
            "--clips-per-unit",
            help="At most, per output file: what a kill may cost.",
            rich_help_panel=RUNS,
        ),
    ] = WorkConfig.clips_per_unit,
    decoder: Annotated[
        str,
        typer.Option("--decoder", help=f"{' or '.join(DECODERS)} (slower).", rich_help_panel=RUNS),
    ] = ClipConfig.decoder,
    decode_threads: Annotated[
        int | None,
        typer.Option(
            "--decode-threads",
            help="Threads of one decoder; by default what the workers leave of the processors.",
            show_default=False,
            rich_help_panel=RUNS,
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Try again what failed, and only that.", rich_help_panel=RUNS
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Discard what is in the output directory.", rich_help_panel=RUNS
        ),
    ] = False,
) -> None:
    """Choose the key frames of every clip: VIDEOS in, one Parquet row of JPEGs per clip out."""
    from mama_augment.cli.summary import print_ledger, print_unsplit, step_progress, stopped
    from mama_augment.core.store.lock import locked
    from mama_augment.inputs.find import find_clips
    from mama_augment.keyframes.cut_step import split_clips
    from mama_augment.keyframes.step import KeyFramesStep, open_step, run_step, threads_per_worker

    runs_on = RuntimeConfig(runtime=runtime, num_workers=workers, ray_address=ray_address)
    step = KeyFramesStep(
        clip=ClipConfig(
            choice=KeyFrameConfig(
                num_frames=num_frames,
                strategy=strategy,
                sample_fps=sample_fps,
                max_frames_scanned=max_frames_scanned,
            ),
            picture=PictureConfig(short_side_px=short_side_px, jpeg_quality=jpeg_quality),
            limits=LimitsConfig(
                max_pixels=max_pixels,
                time_limit_seconds=time_limit_seconds,
                memory_limit_mb=memory_limit_mb,
                num_threads=threads_per_worker(workers)
                if decode_threads is None
                else decode_threads,
            ),
            least_frames=least_frames,
            decoder=decoder,
        ),
        split=SplitConfig(seconds=split_seconds, scenes=split_scenes),
        work=WorkConfig(clips_per_unit=clips_per_unit),
    )
    clips = find_clips(videos, video_root=video_root)
    try:
        with locked(out):
            if step.split.is_on:
                with step_progress("split", clips.num_rows) as progress:
                    clips, unsplit = split_clips(
                        out,
                        clips,
                        step,
                        num_workers=workers,
                        overwrite=overwrite,
                        on_done=progress.advance,
                    )
                print_unsplit(unsplit)
            step_dir = open_step(out, clips, step, overwrite=overwrite)
            todo = step_dir.units_to_do(retry_failed=retry_failed)
            num_done = clips.num_rows - sum(step_dir.manifest.units[unit_id] for unit_id in todo)
            with step_progress("keyframes", clips.num_rows, num_done) as progress:
                run_step(
                    step_dir,
                    todo,
                    clips,
                    step,
                    runs_on,
                    on_done=lambda unit_id, num_items: progress.advance(num_items),
                )
            ledger = step_dir.ledger()
    except OSError as error:
        stopped(error, out, "clips")
    print_ledger(
        ledger, noun="clips", out=out, num_done=progress.num_done, seconds=progress.seconds
    )
    raise typer.Exit(ledger.exit_code)


def inspect(
    directory: Annotated[str, typer.Argument(help="The output directory of `keyframes`.")],
    num_clips: Annotated[
        int, typer.Option("--num-clips", min=1, help="How many clips to show, spread evenly.")
    ] = 12,
    sheet: Annotated[
        str | None,
        typer.Option(
            "--sheet",
            help="Where to write the contact sheet (PNG); by default contact_sheet.png in the "
            "directory.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look at key frames: a contact sheet (PNG), a table of clips, and why others have no row."""
    from mama_augment.cli.summary import console, print_reasons
    from mama_augment.core.store.audit import reject_reasons
    from mama_augment.core.store.files import output_file
    from mama_augment.core.store.step_dir import StepDir
    from mama_augment.people.report.clip_rows import clip_rows
    from mama_augment.people.report.contact_sheet import pick_rows, sheet_png

    step_dir = StepDir.open(directory, step="keyframes")
    rows = pick_rows(step_dir, num_clips)
    if rows:
        path = f"{directory.rstrip('/')}/contact_sheet.png" if sheet is None else sheet
        folder, name = output_file(path, "--sheet")
        folder.write_bytes(name, sheet_png(rows))
        console.print(clip_rows(rows))
        console.print(f"contact sheet: {path}", soft_wrap=True, highlight=False)
    else:
        console.print("no clip has a row yet")
    print_reasons(*reject_reasons(step_dir))
