"""`mama-train` called in this process."""

from __future__ import annotations

import sys

from mama_train.cli import main


def call(*words: str) -> int:
    """The exit code of `mama-train WORDS`."""
    before, sys.argv = sys.argv, ["mama-train", *words]
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.argv = before
    return 0
