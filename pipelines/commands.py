"""Run the project's commands one after the other, showing each as a person would type it."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from mama_augment.core.errors import InputError
from mama_augment.core.shared.say import say, tell


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


FRAME_BYTES = 30_000
"""Of a key frame, about; clips hold it once and shards once more."""


def check_ready(
    videos: str | Path,
    out: Path,
    *,
    model: str,
    video_root: Path | None = None,
    prompt: str = "process",
    num_frames: int = 12,
) -> None:
    """End the pipeline with exit code 2 before the first decode where a later step could not run:
    the captioner's model is not to be had, the prompt uses a column that the clips will lack, or
    the disk has no room for the pictures."""
    try:
        _check_captioner(videos, out, model, video_root, prompt, num_frames)
    except InputError as error:
        tell(error, "error")
        sys.exit(2)


def _check_captioner(
    videos: str | Path,
    out: Path,
    model: str,
    video_root: Path | None,
    prompt: str,
    num_frames: int,
) -> None:
    from mama_augment.caption.config import AskConfig
    from mama_augment.caption.engines import ServingConfig
    from mama_augment.caption.input.prompts import check_columns
    from mama_augment.caption.settle import settle_all
    from mama_augment.core.schema import CLIPS
    from mama_augment.inputs.config import InputConfig
    from mama_augment.inputs.find import find_clips
    from mama_augment.inputs.table.config import ManifestConfig

    settings, _, _ = settle_all(AskConfig(model=model, prompt=prompt), ServingConfig())
    reading = ManifestConfig(video_root=None if video_root is None else str(video_root))
    clips = find_clips(str(videos), InputConfig(manifest=reading))
    if settings.prompt.is_template:
        names = dict.fromkeys([*CLIPS.names, *clips.column_names])
        check_columns(settings.prompt, [name for name in names if name != "frames"])
    out.mkdir(parents=True, exist_ok=True)
    needed = 2 * clips.num_rows * num_frames * FRAME_BYTES
    free = shutil.disk_usage(out).free
    has_begun = (out / "clips").exists()
    if needed > free and not has_begun:
        raise InputError(
            f"{str(out)!r} has {free / 1e9:,.1f} GB left; {clips.num_rows:,} clips of {num_frames} "
            f"key frames take about {needed / 1e9:,.1f} GB there. Choose another --out, or fewer "
            "--num-frames"
        )
