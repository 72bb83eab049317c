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
from commands import run

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
    reviews: Annotated[
        Path | None,
        typer.Option(help="Output of `mama-augment review`: texts that may be trusted."),
    ] = None,
) -> None:
    """Key frames, captions, balanced shards, a trained model and one report of it all."""
    clips, captions = out / "clips", out / "captions"
    # What was made without reviews stays.
    shards, trained = (out / (name + "-reviewed" * bool(reviews)) for name in ("shards", "run"))
    something_failed = run("mama-augment", "keyframes", videos, "--out", clips, "-q", num_frames)
    something_failed |= run(
        "mama-augment", "caption", clips, "--out", captions, "--model", model, "--grid", grid
    )
    balance = ["mama-augment", "balance", clips, captions, "--out", shards, "--concepts", concepts]
    something_failed |= run(*balance, *(("--reviews", reviews) if reviews else ()))
    run("mama-train", "run", shards, "--out", trained, "--epochs", epochs, "--overwrite")
    write_report(out, shards, trained)
    say(f"report: {out / 'report.html'}")
    if reviews is None:
        say(
            "To learn weights from texts that you trust, judge some in the browser: "
            f"mama-augment review {clips} {captions} --out {out / 'reviews'}. Then run this again "
            f"with --reviews {out / 'reviews'}"
        )
    sys.exit(something_failed)


def write_report(out: Path, shards: Path, trained: Path) -> None:
    """One self-contained HTML file about the data and the training."""
    from mama_augment.people.report import build_report
    from mama_train.report.page import training_sections

    build_report(
        str(out / "report.html"),
        clips_dir=str(out / "clips"),
        captions_dirs=[str(out / "captions")],
        shards_dir=str(shards),
        extra_sections=training_sections(trained),
    )


if __name__ == "__main__":
    typer.run(main)
