"""The commands `pipeline` and `demo`: whole pipelines, which are files to read and to copy.

They lie in pipelines/ of a checkout and beside this package where it is installed, and run as
programs of their own: a pipeline gives commands as a person would.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import mama_augment
from mama_augment.core.errors import did_you_mean
from mama_augment.core.shared import say

PIPELINES = {
    "folder": "folder_of_videos",
    "msrvtt": "msrvtt",
    "howto100m": "howto100m_ray",
    "video-qa": "video_qa",
    "demo": "shapes_cpu",
}
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_pipelines(app: typer.Typer) -> None:
    """Add both commands; their options are those of the pipeline, which shows its own --help."""

    @app.command("pipeline", context_settings=PASSED_ON, add_help_option=False)
    def pipeline(
        context: typer.Context,
        name: Annotated[
            str, typer.Argument(help="Which pipeline; without it, they are listed.")
        ] = "",
    ) -> None:
        """Run a pipeline: folder, msrvtt, howto100m, video-qa; `pipeline NAME -h` shows options."""
        raise typer.Exit(run_pipeline(name, context.args))

    @app.command("demo", context_settings=PASSED_ON, add_help_option=False)
    def demo(context: typer.Context) -> None:
        """Run the whole method on a generated world, on a CPU, in a few minutes."""
        raise typer.Exit(run_pipeline("demo", context.args))


def run_pipeline(name: str, arguments: list[str]) -> int:
    """Run one with a person's arguments; without a name, list them."""
    if name in PIPELINES:
        passed = ["--help" if argument == "-h" else argument for argument in arguments]
        sys.stdout.flush()
        # In place of this program, so that its signals and its exit code are the pipeline's.
        os.execv(sys.executable, [sys.executable, str(_file(PIPELINES[name])), *passed])
    if name in ("", "-h", "--help"):
        rows = [(name, _first_line(_file(module))) for name, module in PIPELINES.items()]
        say.table("mama-augment pipeline NAME …", ("NAME", "what it does"), rows)
        return 0
    say.tell(f"there is no pipeline {name!r}; {did_you_mean(name, tuple(PIPELINES))}", "error")
    return 2


def _file(module: str) -> Path:
    """A pipeline's file: beside the installed package, else in the checkout."""
    package = Path(mama_augment.__file__).parent
    places = [folder / f"{module}.py" for folder in (package / "pipelines", _checkout(package))]
    return next((place for place in places if place.is_file()), places[0])


def _checkout(package: Path) -> Path:
    return package.parent / "pipelines"


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
