"""What `tests/augment/test_isolate.py` calls in another process."""

from __future__ import annotations

import os
import signal
import time

from mama_augment.video.errors import ClipError


def act(what: str) -> object:
    """Answer with this process's id, or misbehave."""
    match what:
        case "answer":
            return os.getpid()
        case "reject":
            raise ClipError("no_video", "there is none")
        case "bug":
            raise LookupError("an unexpected one")
        case "hang":
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "leave":
            os._exit(3)
        case "grow":
            hoard = []
            while True:
                hoard.append(bytearray(b"x" * 2**22))
    raise AssertionError(what)
