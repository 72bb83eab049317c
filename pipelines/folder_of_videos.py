"""From a person's own folder of videos to captioned, balanced shards, a trained model, a report.

    python pipelines/folder_of_videos.py VIDEOS --out work --model llava

VIDEOS is a folder, a glob, a file or a manifest (docs/data-format.md). Kill it and run it again:
it continues. Copy this file and change what you like; every step also stands alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from commands import check_ready, run

from mama_augment.core.shared.say import say


def main(
    videos: Annotated[str, typer.Argument(help="Folder, glob, file or manifest.")],
    out: Annotated[Path, typer.Option(help="Everything goes below this folder.")] = Path("work"),
    model: Annotated[
        str, typer.Option(help="llava, another alias, or a local LLaVA directory.")
    ] = "llava",
    num_frames: Annotated[int, typer.Option(help="Key frames per clip.")] = 12,
    grid: Annotated[str, typer.Option(help="Rows x columns of the grid, or auto.")] = "auto",
    concepts: Annotated[str, typer.Option(help="vocabulary or topics.")] = "vocabulary",
    epochs: Annotated[int, typer.Option(help="Passes of the training.")] = 10,
) -> None:
    """Key frames, captions, balanced shards, a trained model and one report of it all."""
    clips, captions, shards = out / "clips", out / "captions", out / "shards"
    check_ready(videos, out, model=model, num_frames=num_frames)
    something_failed = run("mama-augment", "keyframes", videos, "--out", clips, "-q", num_frames)
    something_failed |= run(
        "mama-augment", "caption", clips, "--out", captions, "--model", model, "--grid", grid
    )
    something_failed |= run(
        "mama-augment", "balance", clips, captions, "--out", shards, "--concepts", concepts
    )
    run("mama-train", "run", shards, "--out", out / "run", "--epochs", epochs, "--overwrite")
    write_report(out)
    say(f"report: {out / 'report.html'}")
    sys.exit(something_failed)


def write_report(out: Path) -> None:
    """One self-contained HTML file about the data and the training."""
    from mama_augment.people.report import build_report
    from mama_train.report.page import training_sections

    build_report(
        str(out / "report.html"),
        clips_dir=str(out / "clips"),
        captions_dirs=[str(out / "captions")],
        shards_dir=str(out / "shards"),
        extra_sections=training_sections(out / "run"),
    )


if __name__ == "__main__":
    typer.run(main)
