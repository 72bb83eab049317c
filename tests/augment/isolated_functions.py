"""What the tests call in another process."""

from __future__ import annotations

import os
import signal
import tempfile
import time

from mama_augment.decode.config import Span
from mama_augment.decode.errors import ClipError
from mama_augment.keyframes.config import ClipConfig, ClipFrames, CutConfig
from mama_augment.keyframes.cut import cut_video
from mama_augment.keyframes.extract import extract_clip


def act(what: str) -> object:
    """Answer with this process's id, or misbehave."""
    match what:
        case "answer":
            return os.getpid()
        case "hang with a file" | "crash with a file" | "grow with a file":
            path = tempfile.mkstemp(prefix="mama-augment-test-")[1]
            assert os.path.dirname(path) == os.environ["TMPDIR"]
            return act(what.split()[0])
        case "reject":
            raise ClipError("no_video", "there is none")
        case "bug":
            raise LookupError("an unexpected one")
        case "hang":
            time.sleep(60)
        case "crash":
            signal.raise_signal(signal.SIGSEGV)
        case "leave":
            os._exit(3)
        case "grow":
            hoard = []
            while True:
                hoard.append(bytearray(b"x" * 2**22))
    raise AssertionError(what)


def extract_or_hang(
    uri: str, span: Span, config: ClipConfig, root: str | None = None
) -> ClipFrames:
    """`extract_clip`, but a file called hang… takes a minute."""
    if "hang" in uri.rsplit("/", 1)[-1]:
        time.sleep(60)
    return extract_clip(uri, span, config)


def cut_or_hang(
    uri: str, span: Span, cut: CutConfig, config: ClipConfig, root: str | None = None
) -> list[Span]:
    """`cut_video`, but a file called hang… takes a minute; every call is noted in MAMA_CUT_LOG."""
    with open(os.environ["MAMA_CUT_LOG"], "a") as log:
        log.write(f"{uri}\n")
    if "hang" in uri.rsplit("/", 1)[-1]:
        time.sleep(60)
    return cut_video(uri, span, cut, config)
