"""From a person's own folder of videos to captioned, balanced shards, a trained model, a report.

    python pipelines/folder_of_videos.py VIDEOS --out work --model llava

VIDEOS is a folder, a glob, a file or a manifest (docs/data-format.md). Kill it and run it again:
it continues. With more videos there, it does the new ones, keeps every video in its split and
trains anew; the last shards and run stay beside the new ones as shards-before and run-before. Copy
this file and change what you like; every step also stands alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from commands import check_ready, run
from training import room_for_shards, train, write_report

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
    seeds: Annotated[int, typer.Option(help="Trainings, each with a seed of its own.")] = 1,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train without margin and weights, too.")
    ] = False,
    reviews: Annotated[
        Path | None,
        typer.Option(help="Output of `mama-augment review`: texts that may be trusted."),
    ] = None,
) -> None:
    """Key frames, captions, balanced shards, a trained model and one report of it all."""
    check_ready(videos, out, model=model, num_frames=num_frames)
    clips, captions = out / "clips", out / "captions"
    if reviews is not None:
        out /= "reviewed"  # what was made without them stays
    shards = out / "shards"
    something_failed = run("mama-augment", "keyframes", videos, "--out", clips, "-q", num_frames)
    something_failed |= run(
        "mama-augment", "caption", clips, "--out", captions, "--model", model, "--grid", grid
    )
    kept = room_for_shards(shards, clips, captions, out / "run", out / "runs", reviews=reviews)
    something_failed |= run(
        "mama-augment", "balance", clips, captions, "--out", shards, "--concepts", concepts, *kept
    )
    sections = train(out, shards, {"epochs": epochs}, seeds=seeds, compare=compare)
    say(f"report: {write_report(out, clips, captions, sections)}")
    if reviews is None:
        say(
            "To learn weights from texts that you trust, judge some in the browser: "
            f"mama-augment review {clips} {captions} --out {out / 'reviews'}. Then run this again "
            f"with --reviews {out / 'reviews'}"
        )
    sys.exit(something_failed)


if __name__ == "__main__":
    typer.run(main)
