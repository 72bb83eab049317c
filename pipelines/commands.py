"""Run the project's commands one after the other, showing each as a person would type it."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from mama_augment.core.shared.say import say


def run(*command: str | Path) -> int:
    """Run `mama-augment …` or `mama-train …` of this environment; returns 0 or 1.

    1 means that some items failed while the others are done, so a pipeline may go on. Anything
    worse ends the pipeline with that exit code; the same pipeline continues where it stopped.
    """
    words = [str(word) for word in command]
    say("")
    say(f"$ {shlex.join(words)}", style="bold")
    sys.stdout.flush()
    code = wait(subprocess.Popen([program(words[0]), *words[1:]]))
    if code > 1 or code < 0:
        sys.exit(code if code > 0 else 128 - code)
    return code


def program(name: str) -> str:
    """The command of this environment, else the one on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name) or name


def wait(child: subprocess.Popen[bytes]) -> int:
    """The command's exit code. Ctrl-C is the command's to handle, and SIGTERM is passed on: both
    end it in order, and with it the pipeline."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue
    finally:
        signal.signal(signal.SIGTERM, before)
