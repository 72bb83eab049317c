"""What the tests call in another process instead of decoding."""

from __future__ import annotations

import os
import time

from mama_augment.decode.config import Span
from mama_augment.keyframes.config import ClipConfig, ClipFrames, CutConfig


def extract(path: str, span: Span, config: ClipConfig, root: str | None) -> ClipFrames:
    """Never ends: computing for `spins…`, waiting for all else."""
    _note(os.path.basename(path))
    _hang(path)
    raise AssertionError(path)


def cut(path: str, span: Span, cut: CutConfig, config: ClipConfig, root: str | None) -> list[Span]:
    """As `extract`."""
    _note(f"cut:{os.path.basename(path)}")
    _hang(path)
    raise AssertionError(path)


def _note(word: str) -> None:
    with open(os.environ["MAMA_TEST_LOG"], "a") as log:
        log.write(f"{word}\n")


def _hang(path: str) -> None:
    while "spins" in path:
        pass
    time.sleep(60)
