"""Run the project's commands one after the other, showing each as a person would type it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console

console = Console(soft_wrap=True, highlight=False)


def run(*command: str | Path) -> int:
    """Run `mama-augment …` or `mama-train …` of this environment; returns 0 or 1.

    1 means that some items failed while the others are done, so a pipeline may go on. Anything
    worse ends the pipeline with that exit code; the same pipeline continues where it stopped.
    """
    words = [str(word) for word in command]
    console.print(f"\n[bold]$ {shlex.join(words)}[/bold]")
    program = Path(sys.executable).parent / words[0]
    code = subprocess.run([program, *words[1:]]).returncode
    if code > 1 or code < 0:
        sys.exit(code if code > 0 else 1)
    return code
